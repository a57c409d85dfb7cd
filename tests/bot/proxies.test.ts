/** Discord, Telegram and downloads behind a proxy that alone knows the way to them. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { fetch } from 'undici';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { download } from '../../src/bot/download.ts';
import { type ProxySettings, proxyFor, useProxies } from '../../src/bot/proxies.ts';
import { startFakeTelegram } from '../fakes/telegram/server.ts';
import { photo, Stage } from '../helpers/discord-stage.ts';
import { ForwardProxy } from '../helpers/forward-proxy.ts';
import { TestRedis } from '../helpers/redis-server.ts';
import { runCli } from '../helpers/run-cli.ts';
import { TelegramWorld, photo as telegramPhoto } from '../helpers/telegram-world.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});
// The certificate of the proxy is the tests' own.
beforeAll(() => {
  const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  return () => {
    if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before;
  };
});

async function proxied(settings: (proxy: ForwardProxy) => ProxySettings, credentials?: string) {
  const proxy = await ForwardProxy.start(credentials);
  ends.push(() => proxy.stop());
  ends.push(useProxies(settings(proxy)));
  return proxy;
}

const kinds = [
  ['HTTPS_PROXY', (proxy: ForwardProxy) => ({ https: proxy.httpUrl })],
  ['ALL_PROXY with SOCKS', (proxy: ForwardProxy) => ({ all: proxy.socksUrl })],
] as const;

describe.each(kinds)('behind %s', (_, settings) => {
  it('Discord is reached: REST, gateway and CDN', async () => {
    const proxy = await proxied(settings, 'kino:s3cret');
    const stage = await Stage.start({
      behind: (port) => {
        proxy.target = port;
        return 'https://discord.test';
      },
    });
    ends.push(() => stage.stop());
    await stage.video(
      stage.ada.runs('/animate', { image: photo, prompt: 'waves' }, { channel: stage.channel }),
    );
    expect(new Set(proxy.asked)).toEqual(new Set(['discord.test:443']));
    expect(proxy.asked.length).toBeGreaterThan(2);
  });

  it('Telegram is reached, with its files', async () => {
    const proxy = await proxied(settings);
    const fake = await startFakeTelegram();
    proxy.target = Number(new URL(fake.apiRoot).port);
    const world = await TelegramWorld.start({ apiRoot: 'https://telegram.test' }, fake);
    ends.push(() => world.stop());
    const chat = fake.privateChat();
    await chat.sendsPhoto(await telegramPhoto(), '/animate waves');
    await fake.until(() => world.videos(chat).length === 1);
    expect(fake.calls('file')).toHaveLength(1);
    expect(new Set(proxy.asked)).toEqual(new Set(['telegram.test:443']));
  });
});

it('holds for the whole bot as it is started, by the settings alone', async () => {
  const proxy = await ForwardProxy.start('kino:s3cret');
  const redis = await TestRedis.start();
  const folder = await mkdtemp(join(tmpdir(), 'kinora-proxied-'));
  ends.push(
    () => proxy.stop(),
    () => redis.stop(),
    () => rm(folder, { recursive: true }),
  );
  const token = (part: string) => part.repeat(30);
  const environment = {
    REDIS_URL: `unix://${redis.socketPath}`,
    KINORA_DISCORD_TOKEN: `${token('a').slice(0, 26)}.${token('b').slice(0, 6)}.${token('c')}`,
    KINORA_TELEGRAM_TOKEN: `123456789:${token('d')}x`,
    KINORA_WEB_PORT: '0',
    all_proxy: proxy.httpUrl,
  };
  const all = ['discord.com:443', 'api.telegram.org:443'];
  const { stderr } = await runCli(['bot'], {
    folder,
    environment,
    // Both are told to be out of reach, again and again: nothing answers behind this proxy.
    onStderr: (_, kill) => {
      if (all.every((host) => proxy.asked.includes(host))) kill('SIGTERM');
    },
  });
  expect(stderr).not.toContain('s3cret');
});

describe('a proxy', () => {
  it('that refuses, or is away, is trouble that is said', async () => {
    const proxy = await proxied(({ httpUrl }) => ({ https: httpUrl.replace('//', '//wrong:one@') }), 'a:b');
    expect(await download('https://files.test/x', 100, AbortSignal.timeout(500))).toBe('failed');
    expect(proxy.asked).toEqual([]);
  });

  it.each([
    ['HTTP', ({ httpUrl }: ForwardProxy) => httpUrl],
    ['SOCKS', ({ socksUrl }: ForwardProxy) => socksUrl],
  ])('of %s that refuses the password keeps it out of the errors', async (_, urlOf) => {
    await proxied((proxy) => ({ all: urlOf(proxy).replace('a:b@', 'kino:s3cret@') }), 'a:b');
    const errors = [
      await fetch('https://files.test/x').catch((error: unknown) => error),
      (
        await once(https.request({ host: 'files.test' }).end(), 'response').catch((error: unknown) => [error])
      )[0],
    ];
    for (const error of errors) {
      expect(inspect(error)).toMatch(/refuses|Authentication failed/);
      expect(inspect(error, { depth: null, showHidden: true })).not.toContain('s3cret');
    }
  });

  it('over TLS is called by its own name', async () => {
    const fake = await startFakeTelegram();
    ends.push(() => fake.stop());
    const proxy = await proxied(({ httpsUrl }) => ({ all: httpsUrl }), 'kino:s3cret');
    proxy.target = Number(new URL(fake.apiRoot).port);
    await fetch('https://files.test/x');
    expect(proxy.asked).toEqual(['files.test:443']);
    expect(proxy.names).toEqual(['localhost']);
  });

  it('is not asked for what NO_PROXY names', async () => {
    const fake = await startFakeTelegram();
    ends.push(() => fake.stop());
    const proxy = await proxied(({ httpUrl }) => ({ all: httpUrl, no: '127.0.0.1' }));
    proxy.target = Number(new URL(fake.apiRoot).port);
    await download(`${fake.apiRoot}/file`, 100, AbortSignal.timeout(2_000));
    expect(fake.calls()).toHaveLength(1);
    expect(proxy.asked).toEqual([]);
  });
});

describe('the proxy of an address', () => {
  const all = 'http://proxy:3128';
  const of = (url: string, settings: ProxySettings) => proxyFor(new URL(url), settings)?.host;

  it('is the one of its scheme, else the one of all', () => {
    const settings = { https: 'http://secure:1', http: 'http://plain:2', all };
    expect(of('https://discord.com/', settings)).toBe('secure:1');
    expect(of('http://127.0.0.1:8081/', settings)).toBe('plain:2');
    expect(of('https://discord.com/', { all })).toBe('proxy:3128');
    expect(of('https://discord.com/', { http: 'http://plain:2' })).toBe(undefined);
  });

  it.each([
    ['https://discord.com/', '*', undefined],
    ['https://discord.com/', 'discord.com', undefined],
    ['https://cdn.discord.com/', 'discord.com', undefined],
    ['https://cdn.discord.com/', '.discord.com', undefined],
    ['https://cdn.discord.com/', '*.discord.com', undefined],
    ['https://CDN.discord.com/', 'telegram.org Discord.com', undefined],
    ['https://notdiscord.com/', 'discord.com', 'proxy:3128'],
    ['https://discord.com/', 'discord.com:8443', 'proxy:3128'],
    ['https://discord.com:8443/', 'discord.com:8443', undefined],
    ['https://discord.com/', 'discord.com:443', undefined],
    ['http://10.1.2.3/', '10.0.0.0/8', undefined],
    ['http://11.1.2.3/', '10.0.0.0/8', 'proxy:3128'],
    ['http://[::1]:8081/', '::1', undefined],
    ['http://[::1]:8081/', '[::1]:8081', undefined],
    ['http://[fd00::5]/', 'fd00::/8', undefined],
    ['http://10.1.2.3/', '10.0.0.0/99', 'proxy:3128'],
    ['http://10.1.2.3/', '10.0.0.0/', 'proxy:3128'],
    ['https://discord.com/', '', 'proxy:3128'],
  ])('%s with NO_PROXY=%s is %s', (url, no, proxy) => {
    expect(of(url, { all, no })).toBe(proxy);
  });
});
