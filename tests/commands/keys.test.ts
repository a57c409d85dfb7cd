/** Keys of the HTTP API: how they are made, kept, found and ended. */
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { scrubSecrets } from '../../src/log.ts';
import { ApiKeys } from '../../src/queue/api-keys.ts';
import { Profiles } from '../../src/queue/profiles.ts';
import { Sessions } from '../../src/queue/sessions.ts';
import { SignInLinks } from '../../src/queue/sign-in-links.ts';
import { Harness } from '../helpers/queue-harness.ts';
import { type CliResult, runCli } from '../helpers/run-cli.ts';

let harness: Harness;
let redis: Redis;
let keys: ApiKeys;
beforeEach(async () => {
  harness = await Harness.start();
  redis = harness.server.connect();
  keys = new ApiKeys(redis);
});
afterEach(() => harness.stop());

const cli = (...args: string[]): Promise<CliResult> =>
  runCli(['keys', ...args], {
    folder: harness.folder,
    environment: { REDIS_URL: `unix://${harness.server.socketPath}` },
  });

it('a key is told once, found by its token, and kept as a hash', async () => {
  const { key, token } = await keys.create({ name: 'laptop', scopes: ['use'] });
  expect(token).toMatch(/^kinora_[0-9a-f]{12}_[\w-]{43}$/);
  expect(key.userKey).toMatch(/^web:[0-9a-f]{12}$/);
  expect(await keys.find(token)).toEqual(key);
  const stored = JSON.stringify(await redis.hgetall('{kinora}:apikeys'));
  expect(stored).not.toContain(token.split('_').slice(2).join('_'));
  expect(scrubSecrets(`authorization: Bearer ${token}`)).toBe('authorization: Bearer [secret]');
});

it.each([
  ['', 'nothing'],
  ['kinora', 'a word'],
  ['kinora_000000000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'one that was never made'],
])('%j is no key: %s', async (token) => {
  await keys.create({ name: 'laptop', scopes: ['use'] });
  expect(await keys.find(token)).toBeUndefined();
});

it('another secret with a known id is no key, and a revoked one ends at once', async () => {
  const { key, token } = await keys.create({ name: 'laptop', scopes: ['use'] });
  const other = token.endsWith('A') ? `${token.slice(0, -1)}B` : `${token.slice(0, -1)}A`;
  expect(await keys.find(other)).toBeUndefined();
  expect(await keys.find(`${token}A`)).toBeUndefined();
  expect(await keys.revoke(key.id)).toBe(true);
  expect(await keys.find(token)).toBeUndefined();
  expect(await keys.revoke(key.id)).toBe(false);
});

it('is made, listed and revoked on the command line', async () => {
  const made = await cli('create', 'my laptop', '--user', 'discord:8035', '--scope', 'use,admin');
  expect(made.code).toBe(0);
  expect(made.stdout).toMatch(/^kinora_\w+_[\w-]{43}\n$/);
  expect(made.stderr).toMatch(/^Key \w+ "my laptop" of discord:8035, for use and admin\./);
  const found = await keys.find(made.stdout.trim());
  expect(found).toMatchObject({ name: 'my laptop', userKey: 'discord:8035', scopes: ['use', 'admin'] });

  const listed = await cli('list');
  expect(listed.stdout).toMatch(/^\w{12} {2}discord:8035 {2}use,admin {2}\S+Z {2}my laptop\n$/);
  const json: unknown = JSON.parse((await cli('list', '--json')).stdout);
  expect(json).toEqual([found]);

  expect((await cli('revoke', found?.id ?? '')).code).toBe(0);
  expect((await cli('list')).stdout).toMatch(/There are no keys/);
  const again = await cli('revoke', found?.id ?? '');
  expect(again).toMatchObject({ code: 2, stderr: expect.stringMatching(/^There is no key/) });
});

it('somebody without a chat is invited, listed, let in once, and shut out', async () => {
  const made = await cli('invite', 'Grace', '--days', '2');
  expect(made.code).toBe(0);
  expect(made.stdout).toMatch(/^http:\/\/127\.0\.0\.1:7080\/sign-in#[\w-]{43}\n$/);
  expect(made.stderr).toMatch(/^Invitation \w{12} for "Grace", somebody new, for use, once, until \S+Z\./);
  expect(made.stderr).toMatch(/opens on this machine only: KINORA_PUBLIC_URL is not set/);
  const links = new SignInLinks(redis);
  const [invitation] = await links.invitations();
  expect((invitation?.expiresAt ?? 0) - (invitation?.createdAt ?? 0)).toBe(2 * 86_400_000);
  const [, token = ''] = made.stdout.trim().split('#');
  expect(JSON.stringify(await redis.get(`{kinora}:signin:${token}`))).toBe('null');
  expect((await cli('list')).stdout).toMatch(
    new RegExp(`^${invitation?.id} {2}somebody new {2}use {2}invited until \\S+Z {2}Grace\n$`),
  );
  expect(JSON.parse((await cli('list', '--json')).stdout)).toEqual([{ kind: 'invitation', ...invitation }]);

  const { userKey = '' } = (await links.use(token)) ?? {};
  await new Profiles(redis).store(userKey, { name: 'Grace' });
  expect((await cli('list')).stdout).toBe(`${userKey}  has signed in  Grace\n`);
  const again = await cli('invite', '--user', userKey);
  expect(await links.use(again.stdout.trim().split('#')[1] ?? '')).toMatchObject({
    userKey,
    scopes: ['use'],
  });

  const sessions = new Sessions(redis);
  const { token: cookie } = await sessions.create({ userKey, scopes: ['use'], browser: '' });
  expect((await cli('revoke', userKey)).code).toBe(0);
  expect(await sessions.find(cookie)).toBeUndefined();
  const revoked = await links.invite({ scopes: ['use'] });
  expect((await cli('revoke', revoked.invitation.id)).code).toBe(0);
  expect(await links.look(revoked.token)).toBeUndefined();
});

it('whoever keeps the machine is signed in by a link of the command line', async () => {
  const environment = {
    REDIS_URL: `unix://${harness.server.socketPath}`,
    KINORA_PUBLIC_URL: 'https://k.example',
  };
  const printed = await runCli(['sign-in'], { folder: harness.folder, environment });
  expect(printed.stdout).toMatch(/^https:\/\/k\.example\/sign-in#[\w-]{43}\n$/);
  expect(printed.stderr).not.toContain('#');
  expect(await new SignInLinks(redis).use(printed.stdout.trim().split('#')[1] ?? '')).toMatchObject({
    userKey: 'web:owner',
    scopes: ['use', 'admin'],
  });
  expect(scrubSecrets(`at ${printed.stdout}`)).not.toMatch(/#/);
});

it.each([
  [['invite', '--days', '31'], /The days must be a whole number from 1 to 30/],
  [['invite', 'n'.repeat(65)], /A name has 1 to 64 characters/],
  [['create', 'x', '--scope', 'root'], /"root" is no scope; expected use, admin/],
  [['create', 'x', '--user', 'somebody'], /"somebody" is no user or community; they are written like/],
  [['create', ' '], /name of a key has 1 to 64 characters/],
])('refuses %j', async (args, sentence) => {
  const { code, stderr, stdout } = await cli(...args);
  expect(stderr).toMatch(sentence);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
});
