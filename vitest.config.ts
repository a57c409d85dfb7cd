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
          exclude: [
            ...slow,
            'tests/browser/**',
            'tests/cluster/**',
            'tests/install/long/**',
            'tests/storage/long/**',
          ],
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
      {
        extends: true,
        test: {
          name: 'install',
          include: ['tests/install/long/*.test.ts'],
          globalSetup: 'tests/helpers/executable-ffprobe.ts',
          testTimeout: 900_000,
          hookTimeout: 900_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: { name: 'storage', include: ['tests/storage/long/*.test.ts'], sequence: { groupOrder: 3 } },
      },
      {
        extends: true,
        test: {
          name: 'cluster',
          include: ['tests/cluster/*.test.ts'],
          // Times are measured.
          maxWorkers: 1,
          sequence: { groupOrder: 4 },
        },
      },
      {
        extends: true,
        test: {
          name: 'browser',
          include: ['tests/browser/*.test.ts'],
          globalSetup: ['tests/helpers/needed-programs.ts', 'tests/browser/global-setup.ts'],
          // All share one Kinora, and an admin may pause it.
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
          expect: { poll: { timeout: 150_000, interval: 100 } },
        },
      },
    ],
  },
});
