import { expect, it } from 'vitest';
import { childEnvironment } from '../../src/engine/child-environment.ts';

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
    'CUDA_DEVICE_ORDER',
    'CUDA_VISIBLE_DEVICES',
    'GLIBC_TUNABLES',
    'HOME',
    'LD_LIBRARY_PATH',
    'PATH',
    'Path',
  ]);
});

it('names our CUDA libraries to the loader before those of the system', () => {
  expect(childEnvironment({}, '/ours')).toMatchObject({ LD_LIBRARY_PATH: '/ours' });
  expect(childEnvironment({ LD_LIBRARY_PATH: '/theirs' }, '/ours')).toMatchObject({
    LD_LIBRARY_PATH: '/ours:/theirs',
  });
  expect(childEnvironment({ PATH: '/bin' }, '')).not.toHaveProperty('LD_LIBRARY_PATH');
});

it("counts GPUs as nvidia-smi does, unless the person's own setting says otherwise", () => {
  expect(childEnvironment({})).toMatchObject({ CUDA_DEVICE_ORDER: 'PCI_BUS_ID' });
  expect(childEnvironment({ CUDA_DEVICE_ORDER: 'FASTEST_FIRST' })).toMatchObject({
    CUDA_DEVICE_ORDER: 'FASTEST_FIRST',
  });
});

it("asks for large pages, unless the person's own setting says otherwise", () => {
  expect(childEnvironment({})).toMatchObject({ GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' });
  expect(childEnvironment({ GLIBC_TUNABLES: 'glibc.malloc.hugetlb=0' })).toMatchObject({
    GLIBC_TUNABLES: 'glibc.malloc.hugetlb=0',
  });
});
