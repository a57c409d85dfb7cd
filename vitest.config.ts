import { defineConfig } from 'vitest/config';
import { slow } from './tests/slow.ts';

export default defineConfig({
  test: {
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // Each test file may run ONNX sessions and ffmpeg; two at a time suits the smallest machine we promise.
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'fast',
          include: ['tests/**/*.test.ts'],
          exclude: slow,
          setupFiles: 'tests/helpers/fast-lane.ts',
        },
      },
      {
        extends: true,
        test: {
          name: 'slow',
          include: slow,
          globalSetup: ['tests/helpers/needed-programs.ts', 'tests/helpers/executable-ffprobe.ts'],
        },
      },
    ],
  },
});
