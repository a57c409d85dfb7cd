/** Pictures that a request names by their address, from real servers behind a proxy that leads every name to them. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { errorSchema } from '../../src/web/problem.ts';
import { ForwardProxy } from '../helpers/forward-proxy.ts';
import { photo, videoOf, WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

const megabyte = Buffer.alloc(2 ** 20);
const pages: Readonly<Record<string, (response: ServerResponse) => unknown>> = {
  '/cat': (response) => response.end(photo),
  '/moved': (response) => response.writeHead(302, { location: '/cat' }).end(),
  '/moved/elsewhere': (response) => response.writeHead(301, { location: 'http://two.test/moved' }).end(),
  '/moved/inside': (response) => response.writeHead(307, { location: 'http://inside.test/cat' }).end(),
  '/moved/metadata': (response) => response.writeHead(302, { location: 'http://169.254.169.254/cat' }).end(),
  '/moved/file': (response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
  '/moved/login': (response) => response.writeHead(302, { location: 'http://a:b@one.test/cat' }).end(),
  '/moved/nowhere': (response) => response.writeHead(302).end(),
  '/round': (response) => response.writeHead(302, { location: '/round' }).end(),
  '/busy': (response) =>
    called.length > 1 ? response.end(photo) : response.writeHead(503).end('Come back later.'),
  '/broken': (response) => response.writeHead(500).end(),
  '/text': (response) => response.writeHead(200, { 'content-type': 'image/jpeg' }).end('not a picture'),
  '/half': (response) => response.end(photo.subarray(0, 300)),
  '/announced': (response) =>
    response.writeHead(200, { 'content-length': String(65 * 2 ** 20) }).flushHeaders(),
  '/endless': (response) => {
    response.on('drain', () => response.write(megabyte)).on('error', () => {});
    response.write(megabyte);
  },
};
/** Paths that the server was asked for. */
const called: string[] = [];
const server = createServer(({ url = '', headers }, response) => {
  called.push(`${headers.host}${url}`);
  const page = pages[url];
  if (page) page(response);
  else response.writeHead(404).end('Nothing here.');
}).listen(0, '127.0.0.1');

const names: Readonly<Record<string, string>> = {
  'one.test': '93.184.215.14',
  'two.test': '2606:2800:21f::1',
  'inside.test': '192.168.7.7',
};
let proxy: ForwardProxy;
let web: WebFixture;
let ann: WebPerson;
beforeAll(async () => {
  if (!server.listening) await once(server, 'listening');
  proxy = await ForwardProxy.start();
  proxy.target = (server.address() as AddressInfo).port; // it listens
  web = await WebFixture.start({
    outgoing: {
      mayBePrivate: false,
      proxies: { all: proxy.httpUrl },
      lookUp: async (hostname) => {
        const address = names[hostname];
        if (address === undefined) throw new Error('ENOTFOUND');
        return [{ address, family: address.includes(':') ? 6 : 4 }];
      },
    },
  });
  ann = await web.person();
});
afterEach(() => {
  called.length = 0;
  proxy.asked.length = 0;
});
afterAll(async () => {
  await web.stop();
  await proxy.stop();
  server.closeAllConnections();
  server.close();
});

const ask = (input_reference: unknown, headers: Record<string, string> = {}, who = ann): Promise<Response> =>
  who.postJson('/v1/videos', { prompt: 'zoom in', preset: 'fast', input_reference }, headers);

it('is fetched from the address that its name had, as JSON or a form names it', async () => {
  const form = new FormData();
  form.append('prompt', 'zoom in');
  form.append('input_reference', 'http://one.test/cat');
  for (const response of [
    await ask('http://one.test/cat'),
    await ask({ image_url: 'http://one.test/cat' }),
    await ann.call('/v1/videos', { method: 'POST', body: form }),
  ]) {
    const { id, status, size } = await videoOf(response);
    expect(status).toBe('queued');
    expect(size).toMatch(/^\d+x\d+$/);
    expect(await web.artifacts.hasImage(id)).toBe(true);
  }
  expect(called).toEqual(Array(3).fill('one.test/cat'));
  expect(new Set(proxy.asked)).toEqual(new Set(['93.184.215.14:80']));
});

it('is found after a few redirects, each looked up by itself', async () => {
  expect((await ask('http://one.test/moved/elsewhere')).status).toBe(200);
  expect(called).toEqual(['one.test/moved/elsewhere', 'two.test/moved', 'two.test/cat']);
  expect(proxy.asked).toContain('[2606:2800:21f::1]:80');
});

it('is asked for again when its server is in trouble that passes', async () => {
  expect((await ask('http://one.test/busy')).status).toBe(200);
  expect(called).toHaveLength(2);
});

it.each([
  ['ftp://one.test/cat', 400, 'invalid_image_url', /begins with https:/, 0],
  ['cat.jpg', 400, 'invalid_image_url', /begins with https:/, 0],
  ['http://ann:secret@one.test/cat', 400, 'invalid_image_url', /no user or password/, 0],
  ['http://127.0.0.1/cat', 400, 'image_url_not_public', /private network/, 0],
  ['http://[::ffff:10.0.0.1]/cat', 400, 'image_url_not_public', /private network/, 0],
  ['http://inside.test/cat', 400, 'image_url_not_public', /private network/, 0],
  ['http://one.test/moved/inside', 400, 'image_url_not_public', /private network/, 1],
  ['http://one.test/moved/metadata', 400, 'image_url_not_public', /private network/, 1],
  ['http://one.test/moved/file', 400, 'invalid_image_url', /begins with https:/, 1],
  ['http://one.test/moved/login', 400, 'invalid_image_url', /no user or password/, 1],
  ['http://one.test/moved/nowhere', 400, 'image_url_refused', /status 302/, 1],
  ['http://one.test/round', 400, 'image_url_redirects', /more than 3 times/, 4],
  ['http://one.test/missing', 400, 'image_url_refused', /status 404/, 1],
  ['http://one.test/broken', 400, 'image_url_unreachable', /could not be fetched/, 3],
  ['http://unknown.test/cat', 400, 'image_url_unreachable', /could not be fetched/, 0],
  ['http://one.test/text', 415, 'IMAGE_UNSUPPORTED', /format/, 1],
  ['http://one.test/half', 400, 'IMAGE_UNREADABLE', /picture/, 1],
  ['http://one.test/announced', 413, 'IMAGE_TOO_LARGE', /at most 64 MB/, 1],
  ['http://one.test/endless', 413, 'IMAGE_TOO_LARGE', /at most 64 MB/, 1],
])('%s is refused with %i %s', async (url, status, code, sentence, calls) => {
  const response = await ask(url);
  const { error } = errorSchema.parse(await response.json());
  expect([response.status, error.code, error.param]).toEqual([status, code, 'input_reference']);
  expect(error.message).toMatch(sentence);
  expect(error.message).not.toContain('secret');
  expect(called).toHaveLength(calls);
});

it('is fetched once for a request that is sent twice, whatever is there by then', async () => {
  const headers = { 'idempotency-key': 'holiday-1' };
  const first = await videoOf(await ask('http://one.test/cat', headers));
  const again = await videoOf(await ask({ image_url: 'http://one.test/cat' }, headers));
  expect(again.id).toBe(first.id);
  expect(called).toHaveLength(1);
  const other = await ask('http://two.test/cat', headers);
  expect(errorSchema.parse(await other.json()).error.code).toBe('idempotency_key_reused');
});

it('is not fetched for somebody whose request would be refused', async () => {
  const bob = await web.person();
  await web.redis.connect().set('{kinora}:mode', 'paused');
  expect((await ask('http://one.test/cat', {}, bob)).status).toBe(503);
  await web.redis.connect().del('{kinora}:mode');
  expect(called).toEqual([]);
});
