import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Each test file may run ONNX sessions and ffmpeg; two at a time suits the smallest machine we promise.
    maxWorkers: 2,
  },
});
