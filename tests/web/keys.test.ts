/** The keys that people make for themselves on the page, and what a stolen key cannot do. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import type { ChatPlatform } from '../../src/bot/platform.ts';
import { Browser } from '../helpers/browser.ts';
import { WebFixture, WebPerson } from '../helpers/web-fixture.ts';

const admins = new Set<string>();
const chat: ChatPlatform = {
  name: 'discord',
  start: async () => {},
  stop: async () => {},
  deliver: async () => {},
  isAdmin: async (userKey) => admins.has(userKey),
};
let web: WebFixture;
beforeAll(async () => {
  web = await WebFixture.start({ platforms: [chat] });
});
afterAll(() => web.stop());

const madeSchema = z.object({ id: z.string(), key: z.string() });
const listSchema = z.object({
  data: z.array(z.looseObject({ id: z.string() })),
  scopes: z.array(z.string()),
});
const listOf = async (browser: Browser): Promise<z.infer<typeof listSchema>> =>
  listSchema.parse(await (await browser.call('/v1/keys')).json());
const codeOf = async (response: Response): Promise<string> => {
  const { error } = z.object({ error: z.object({ code: z.string() }) }).parse(await response.json());
  return `${response.status} ${error.code}`;
};

it('makes a key that acts for its person, shows it once, and revokes it', async () => {
  const ada = await Browser.of(web, 'discord:8035');
  const { id, key } = madeSchema.parse(await (await ada.post('/v1/keys', { name: ' laptop ' })).json());
  const { data, scopes } = await listOf(ada);
  expect(data).toEqual([{ id, name: 'laptop', scopes: ['use'], created_at: expect.any(String) }]);
  expect(scopes).toEqual(['use']);
  const program = new WebPerson(web, key, 'discord:8035');
  expect(await (await program.call('/v1/me')).json()).toMatchObject({
    user: 'discord:8035',
    scopes: ['use'],
  });
  expect((await ada.call(`/v1/keys/${id}`, { method: 'DELETE' })).status).toBe(200);
  expect((await program.call('/v1/me')).status).toBe(401);
  expect(await codeOf(await ada.call(`/v1/keys/${id}`, { method: 'DELETE' }))).toBe('404 key_not_found');
  for (const name of ['', ' ', 'a\nb', 'x'.repeat(65)]) {
    expect(await codeOf(await ada.post('/v1/keys', { name }))).toBe('400 name_needed');
  }
});

it('lets no key make, list or revoke keys, and nobody those of others', async () => {
  const ada = await Browser.of(web, 'discord:1');
  const bob = await Browser.of(web, 'discord:2');
  const { id, key } = madeSchema.parse(await (await ada.post('/v1/keys', { name: 'a' })).json());
  const program = new WebPerson(web, key, 'discord:1');
  expect(await codeOf(await program.call('/v1/keys'))).toBe('403 session_needed');
  expect(await codeOf(await program.postJson('/v1/keys', { name: 'b' }))).toBe('403 session_needed');
  expect(await codeOf(await program.call(`/v1/keys/${id}`, { method: 'DELETE' }))).toBe('403 session_needed');
  expect((await listOf(bob)).data).toEqual([]);
  expect(await codeOf(await bob.call(`/v1/keys/${id}`, { method: 'DELETE' }))).toBe('404 key_not_found');
});

it('gives the scope admin only where the session was given it, not to admins of a chat', async () => {
  admins.add('discord:3');
  const moderator = await Browser.of(web, 'discord:3');
  expect(await moderator.me()).toMatchObject({ scopes: ['use', 'admin'] });
  const wanted = { name: 'a', scopes: ['use', 'admin'] };
  expect(await codeOf(await moderator.post('/v1/keys', wanted))).toBe('403 missing_scope');
  const owner = await Browser.of(web, 'web:owner', ['use', 'admin']);
  expect((await listOf(owner)).scopes).toEqual(['use', 'admin']);
  const { key } = madeSchema.parse(await (await owner.post('/v1/keys', wanted)).json());
  expect((await new WebPerson(web, key, 'web:owner').call('/v1/admin/queue')).status).toBe(200);
});

it('has a limit', async () => {
  const ada = await Browser.of(web, 'discord:4');
  for (let i = 0; i < 20; i++) expect((await ada.post('/v1/keys', { name: `key ${i}` })).status).toBe(200);
  expect(await codeOf(await ada.post('/v1/keys', { name: 'one more' }))).toBe('409 key_limit');
});
