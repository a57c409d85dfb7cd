/** Signing in on the page: links, cookies, and from where a browser may call. */
import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ChatPlatform } from '../../src/bot/platform.ts';
import { Sessions } from '../../src/queue/sessions.ts';
import { SignInLinks } from '../../src/queue/sign-in-links.ts';
import { Browser } from '../helpers/browser.ts';
import { WebFixture } from '../helpers/web-fixture.ts';

const publicUrl = 'https://kinora.example';
let web: WebFixture;
let links: SignInLinks;
const admins = new Set<string>();
const chat: ChatPlatform = {
  name: 'discord',
  start: async () => {},
  stop: async () => {},
  deliver: async () => {},
  isAdmin: async (userKey) => admins.has(userKey),
};
beforeAll(async () => {
  web = await WebFixture.start({ publicUrl, platforms: [chat] });
  links = new SignInLinks(web.redis.connect());
});
afterAll(() => web.stop());

const codeOf = async (response: Response): Promise<string> => {
  const { error } = (await response.json()) as { error: { code: string } };
  return `${response.status} ${error.code}`;
};
const linkFor = (userKey: string): Promise<string> => links.create({ userKey, name: 'Ada', scopes: ['use'] });

/** A call with headers that fetch() sets itself. */
async function raw(path: string, headers: Record<string, string>, method = 'GET'): Promise<string> {
  const { port } = new URL(web.url);
  return await new Promise((resolve, reject) => {
    const call = httpRequest({ port, host: '127.0.0.1', path, method, headers }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += String(chunk);
      });
      response.on('end', () => {
        const code = /"code":"([^"]*)"/.exec(text)?.[1] ?? '';
        resolve(`${response.statusCode} ${code}`.trim());
      });
    });
    call.on('error', reject);
    call.end();
  });
}

describe('a link', () => {
  it('signs its person in once, and a look at it uses nothing up', async () => {
    const token = await linkFor('discord:8035');
    const browser = new Browser(web);
    for (let i = 0; i < 2; i++) {
      const looked = await browser.post('/v1/sign-in/look', { token });
      expect(await looked.json()).toMatchObject({ platform: 'discord', name: 'Ada', needs_name: false });
    }
    const response = await browser.signIn(token);
    expect(await response.json()).toMatchObject({ user: 'discord:8035', name: 'Ada', scopes: ['use'] });
    const [cookie = ''] = response.headers.getSetCookie();
    expect(cookie).toMatch(
      /^kinora_session=[\w-]{43}; Max-Age=2592000; Path=\/; (?!.*Secure)(?=.*HttpOnly).*SameSite=Strict$/,
    );
    expect(await browser.me()).toMatchObject({
      user: 'discord:8035',
      platform: 'discord',
      credits: { per_day: 100_000, left: 100_000 },
      session: { kind: 'session' },
    });
    expect(await codeOf(await browser.signIn(token))).toBe('410 sign_in_expired');
    expect(await codeOf(await browser.post('/v1/sign-in/look', { token }))).toBe('410 sign_in_expired');
  });

  it('of two tabs that use it at once, one is signed in', async () => {
    const token = await linkFor('discord:8036');
    const answers = await Promise.all(Array.from({ length: 6 }, () => new Browser(web).signIn(token)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 410, 410, 410, 410, 410]);
    expect(await new Sessions(web.redis.connect()).of('discord:8036')).toHaveLength(1);
  });

  it('ends after five minutes, and with the next one for the same person', async () => {
    const old = await links.create(
      { userKey: 'discord:8037', name: 'Ada', scopes: ['use'] },
      Date.now() - 300_001,
    );
    expect(await codeOf(await new Browser(web).signIn(old))).toBe('410 sign_in_expired');
    const first = await linkFor('discord:8037');
    const second = await linkFor('discord:8037');
    const other = await linkFor('discord:8038');
    expect((await new Browser(web).signIn(first)).status).toBe(410);
    expect((await new Browser(web).signIn(second)).status).toBe(200);
    expect((await new Browser(web).signIn(other)).status).toBe(200);
  });

  it.each(['', 'x', 'A'.repeat(43), '../../etc/passwd', 'A'.repeat(100)])('"%s" is none', async (token) => {
    expect(await codeOf(await new Browser(web).signIn(token))).toBe('410 sign_in_expired');
  });

  it('is kept in Redis as a hash, as is the session', async () => {
    const token = await linkFor('discord:8039');
    const browser = new Browser(web);
    const dump = async (): Promise<string> => {
      const redis = web.redis.connect();
      const parts: string[] = [];
      for (const key of await redis.keys('*')) {
        parts.push(key, String(await redis.dump(key)));
      }
      return parts.join('\n');
    };
    expect(await dump()).not.toContain(token);
    await browser.signIn(token);
    const [cookie = ''] = browser.cookies.values();
    expect(cookie).toHaveLength(43);
    expect(await dump()).not.toContain(cookie);
  });

  it('of an invitation makes somebody new, with the name that they choose', async () => {
    const { token, invitation } = await links.invite({ scopes: ['use'] });
    expect(await links.invitations()).toEqual([invitation]);
    const browser = new Browser(web);
    expect(await (await browser.post('/v1/sign-in/look', { token })).json()).toMatchObject({
      platform: 'web',
      name: null,
      needs_name: true,
    });
    for (const name of [undefined, '  ', 'n'.repeat(65), 'a\u0007b']) {
      expect(await codeOf(await browser.signIn(token, name))).toBe('400 name_needed');
    }
    expect((await browser.signIn(token, ' Grace ')).status).toBe(200);
    const me = (await browser.me()) as { user: string };
    expect(me).toMatchObject({
      name: 'Grace',
      platform: 'web',
      user: expect.stringMatching(/^web:[0-9a-f]{12}$/),
    });
    expect(await links.invitations()).toEqual([]);
    // A lost cookie: a new link for the same person, who keeps the name.
    const again = await links.invite({ userKey: me.user, scopes: ['use'] });
    const elsewhere = new Browser(web);
    expect((await elsewhere.signIn(again.token)).status).toBe(200);
    expect(await elsewhere.me()).toMatchObject({ user: me.user, name: 'Grace' });
  });

  it('of an invitation can be revoked', async () => {
    const { token, invitation } = await links.invite({ name: 'Grace', scopes: ['use'] });
    expect(await links.revoke(invitation.id)).toBe(true);
    expect(await links.revoke(invitation.id)).toBe(false);
    expect((await new Browser(web).signIn(token)).status).toBe(410);
    expect(await links.invitations()).toEqual([]);
  });
});

describe('a session', () => {
  it('ends here, there and everywhere', async () => {
    const one = await Browser.of(web, 'discord:7001');
    const two = await Browser.of(web, 'discord:7001');
    const three = await Browser.of(web, 'discord:7001');
    const list = async (): Promise<{ id: string; is_current: boolean }[]> =>
      ((await (await one.call('/v1/sessions')).json()) as { data: { id: string; is_current: boolean }[] })
        .data;
    expect((await list()).filter(({ is_current }) => is_current)).toHaveLength(1);
    const [other] = (await list()).filter(({ is_current }) => !is_current);
    expect((await one.call(`/v1/sessions/${other?.id}`, { method: 'DELETE' })).status).toBe(200);
    expect(await codeOf(await one.call(`/v1/sessions/${other?.id}`, { method: 'DELETE' }))).toBe(
      '404 session_not_found',
    );
    expect(await list()).toHaveLength(2);
    const stranger = await Browser.of(web, 'discord:7002');
    const [theirs] = await list();
    expect((await stranger.call(`/v1/sessions/${theirs?.id}`, { method: 'DELETE' })).status).toBe(404);
    expect((await one.call('/v1/sessions', { method: 'DELETE' })).status).toBe(200);
    expect([await one.me(), await two.me(), await three.me()]).toEqual([401, 401, 401]);
    expect(one.cookies.size).toBe(0);
    expect((await stranger.call('/v1/sessions/current', { method: 'DELETE' })).status).toBe(200);
    expect(await stranger.me()).toBe(401);
  });

  it('of a browser is replaced by the next sign-in: nobody can fix it beforehand', async () => {
    const browser = await Browser.of(web, 'discord:7010');
    const [planted = ''] = browser.cookies.values();
    expect((await browser.signIn(await linkFor('discord:7011'))).status).toBe(200);
    expect(browser.cookies.get('kinora_session')).not.toBe(planted);
    expect(await browser.me()).toMatchObject({ user: 'discord:7011' });
    const attacker = new Browser(web);
    attacker.cookies.set('kinora_session', planted);
    expect(await attacker.me()).toBe(401);
  });

  it.each([
    ['a word', 'x'],
    ['a quote', '"'],
    ['a zero byte', '%00'],
    ['a broken escape', '%zz'],
    ['one that was never made', 'A'.repeat(43)],
    ['much too long', 'A'.repeat(7_000)],
    ['other cookies', '=;=;'],
    ['a path', '../..'],
  ])('cannot be made up: %s', async (_what, garbage) => {
    const browser = new Browser(web);
    browser.cookies.set('kinora_session', garbage);
    expect(await codeOf(await browser.call('/v1/videos'))).toBe('401 signed_out');
  });

  it('leaves with the data of its person, and cannot be asked for before', async () => {
    const browser = await Browser.of(web, 'discord:7020');
    const pending = await linkFor('discord:7020');
    expect((await browser.call('/v1/account', { method: 'DELETE' })).status).toBe(200);
    expect(await browser.me()).toBe(401);
    expect((await new Browser(web).signIn(pending)).status).toBe(410);
    const redis = web.redis.connect();
    for (const key of await redis.keys('*')) {
      expect(key).not.toContain('discord:7020');
      if ((await redis.type(key)) === 'hash')
        expect(await redis.hgetall(key)).not.toHaveProperty('discord:7020');
      if ((await redis.type(key)) === 'string') expect(await redis.get(key)).not.toContain('discord:7020');
    }
  });

  it('of somebody who is banned asks for nothing new, as in chat, but may delete', async () => {
    const browser = await Browser.of(web, 'discord:7030');
    const redis = web.redis.connect();
    await redis.hset(
      '{kinora}:bans',
      'discord:7030',
      JSON.stringify({ untilMs: 0, reason: 'spam', kind: 'user' }),
    );
    const body = { prompt: 'zoom in', input_reference: `data:image/png;base64,${'A'.repeat(40)}` };
    expect(await codeOf(await browser.post('/v1/videos', body))).toBe('403 banned');
    expect(await browser.me()).toMatchObject({ user: 'discord:7030' });
    expect((await browser.call('/v1/account', { method: 'DELETE' })).status).toBe(200);
  });

  it('is an admin as long as the person is one in chat', async () => {
    const browser = await Browser.of(web, 'discord:7040');
    const stats = async (): Promise<number> => (await browser.call('/v1/admin/stats')).status;
    expect(await stats()).toBe(403);
    admins.add('discord:7040');
    expect(await stats()).toBe(200);
    expect(await browser.me()).toMatchObject({ scopes: ['use', 'admin'] });
    admins.clear();
    expect(await stats()).toBe(403);
  });
});

describe('where a call comes from', () => {
  it.each([
    ['no word of it', {}, '403 other_origin'],
    ['another site', { origin: 'https://evil.example' }, '403 other_origin'],
    ['a sandboxed frame', { origin: 'null' }, '403 other_origin'],
    ['another port of this machine', { origin: 'http://127.0.0.1:1' }, '403 other_origin'],
    ['a subdomain', { origin: 'https://a.kinora.example' }, '403 other_origin'],
    ['the public name without TLS', { origin: 'http://kinora.example' }, '403 other_origin'],
    ['a same site', { 'sec-fetch-site': 'same-site' }, '403 other_origin'],
    [
      'a cross site that says another origin',
      { 'sec-fetch-site': 'cross-site', origin: publicUrl },
      '403 other_origin',
    ],
    ['an address line', { 'sec-fetch-site': 'none' }, '403 other_origin'],
    ['the page', { 'sec-fetch-site': 'same-origin' }, '200'],
    ['the page of the public name', { origin: publicUrl }, '200'],
  ])('%s', async (_what, headers, expected) => {
    const browser = await Browser.of(web, 'discord:6000');
    const cookie = `kinora_session=${browser.cookies.get('kinora_session')}`;
    const host = new URL(web.url).host;
    const token = await linkFor('discord:6001');
    expect(await raw('/v1/sessions/current', { cookie, host, ...headers }, 'DELETE')).toBe(expected);
    // Nobody is signed in by another page either.
    const body = JSON.stringify({ token });
    const answer = await fetch(`${web.url}/v1/sign-in`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', ...headers },
    });
    if (expected !== '200') expect(answer.status).toBe(403);
  });

  it('asks nothing of keys', async () => {
    const ann = await web.person();
    const response = await ann.call('/v1/account', { headers: { origin: 'https://evil.example' } });
    expect(response.status).toBe(200);
    expect((await ann.call('/v1/account', { method: 'DELETE' })).status).toBe(200);
  });

  it.each([
    ['evil.example', '403 unknown_host'],
    ['kinora.example.evil.example', '403 unknown_host'],
    ['127.0.0.1.evil.example', '403 unknown_host'],
    ['kinora.example', '401 invalid_api_key'],
    ['localhost:7080', '401 invalid_api_key'],
    ['192.168.1.20:7080', '401 invalid_api_key'],
    ['[::1]:7080', '401 invalid_api_key'],
  ])('%s as the name of this server', async (host, expected) => {
    expect(await raw('/v1/me', { host })).toBe(expected);
    // What a page may say of itself changes nothing.
    const forwarded = { 'x-forwarded-host': '127.0.0.1', 'x-forwarded-proto': 'https' };
    expect(await raw('/v1/me', { host, ...forwarded })).toBe(expected);
    expect(await raw('/health', { host })).toBe('200');
  });
});

it('behind TLS the cookie is one that only TLS and only this name can set', async () => {
  const browser = new Browser(web, publicUrl);
  const response = await browser.signIn(await linkFor('discord:5000'));
  const [cookie = ''] = response.headers.getSetCookie();
  expect(cookie).toMatch(/^__Host-kinora_session=/);
  for (const part of ['Secure', 'HttpOnly', 'SameSite=Strict', 'Path=/'])
    expect(cookie).toContain(`; ${part}`);
  expect(cookie).not.toContain('Domain');
  const token = browser.cookies.get('__Host-kinora_session');
  const host = 'kinora.example';
  expect(await raw('/v1/me', { host, cookie: `__Host-kinora_session=${token}` })).toBe('200');
  // A neighbouring name could have set this one.
  expect(await raw('/v1/me', { host, cookie: `kinora_session=${token}` })).toBe('401 signed_out');
});
