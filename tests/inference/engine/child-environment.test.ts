import { expect, it } from 'vitest';
import { childEnvironment } from '../../../src/inference/engine/child-environment.ts';

it('passes on what native libraries need, and no secret', () => {
  const environment = childEnvironment({
    PATH: '/bin',
    Path: 'C:\\bin',
    HOME: '/home/a',
    LD_LIBRARY_PATH: '/cuda',
    CUDA_VISIBLE_DEVICES: '1',
    DISCORD_TOKEN: 'secret',
    TELEGRAM_TOKEN: 'secret',
    REDIS_URL: 'redis://:secret@host',
    NODE_OPTIONS: '--inspect',
    AWS_SECRET_ACCESS_KEY: 'secret',
  });
  expect(Object.keys(environment).sort()).toEqual([
    'CUDA_VISIBLE_DEVICES',
    'HOME',
    'LD_LIBRARY_PATH',
    'PATH',
    'Path',
  ]);
});
