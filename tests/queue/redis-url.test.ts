import { expect, it } from 'vitest';
import { readRedisUrl } from '../../src/queue/redis-url.ts';

it.each([
  [
    'redis+sentinel://:p%40ss%2Fw@a:1,b.example,[fe80::1]:3/my-master/2?sentinelUsername=u&sentinelPassword=q%23',
    {
      kind: 'sentinels',
      hosts: [
        { host: 'a', port: 1 },
        { host: 'b.example', port: 26_379 },
        { host: 'fe80::1', port: 3 },
      ],
      isTls: false,
      password: 'p@ss/w',
      name: 'my-master',
      db: 2,
      sentinel: { username: 'u', password: 'q#' },
    },
  ],
  [
    'rediss+sentinel://ann:word@a/m',
    {
      kind: 'sentinels',
      hosts: [{ host: 'a', port: 26_379 }],
      isTls: true,
      username: 'ann',
      password: 'word',
      name: 'm',
      db: 0,
      sentinel: {},
    },
  ],
  [
    'rediss+cluster://ann:word@a,b:7001',
    {
      kind: 'cluster',
      hosts: [
        { host: 'a', port: 6_379 },
        { host: 'b', port: 7_001 },
      ],
      isTls: true,
      username: 'ann',
      password: 'word',
    },
  ],
  ['redis://ann:word@a/3', { kind: 'single', url: 'redis://ann:word@a/3' }],
])('reads %s', (url, target) => {
  expect(readRedisUrl(url)).toEqual(target);
});
