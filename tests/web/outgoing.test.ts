/** Which addresses of people are called, and where such a call ends. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mayBePublic } from '../../src/web/outgoing/addresses.ts';
import { Outgoing } from '../../src/web/outgoing/outgoing.ts';
import { ForwardProxy } from '../helpers/forward-proxy.ts';

/** Hosts that this server was called by. */
const hosts: (string | undefined)[] = [];
const server = createServer((request, response) => {
  hosts.push(request.headers.host);
  response.end('here');
}).listen(0, '127.0.0.1');
let proxy: ForwardProxy;
beforeAll(async () => {
  if (!server.listening) await once(server, 'listening');
  proxy = await ForwardProxy.start();
  proxy.target = portOfServer();
});
afterAll(async () => {
  server.close();
  await proxy.stop();
});
const portOfServer = (): number => (server.address() as AddressInfo).port; // it listens

it.each([
  '127.0.0.1',
  '127.8.9.10',
  '0.0.0.0',
  '10.0.0.1',
  '100.64.0.1',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '198.18.0.1',
  '224.0.0.1',
  '255.255.255.255',
  '::1',
  '::',
  '[::1]',
  '[::ffff:127.0.0.1]',
  '::ffff:10.0.0.1',
  '64:ff9b::7f00:1',
  'fe80::1',
  'fc00::1',
  'fd12:3456::1',
  'ff02::1',
  '2002:7f00:1::',
  '2001:db8::1',
  '3fff::1',
  '64:ff9b:1::a00:1',
  '[fe80::1]',
  '100::1',
])('%s is not public', (address) => {
  expect(mayBePublic(address)).toBe(false);
});

it.each([
  '1.1.1.1',
  '8.8.8.8',
  '172.32.0.1',
  '100.128.0.1',
  '192.169.0.1',
  '2606:4700::1111',
  '[2a00:1450::1]',
  'example.com',
])('%s may be public', (address) => {
  expect(mayBePublic(address)).toBe(true);
});

const signal = (): AbortSignal => AbortSignal.timeout(5_000);

it.each([
  'http://127.0.0.1:8080/',
  'http://[::1]:8080/',
  'http://2130706433:8080/',
  'http://0x7f.1:8080/',
  'http://localhost:8080/',
])('%s is not called', async (url) => {
  const outgoing = new Outgoing({ mayBePrivate: false });
  expect(await outgoing.call(url, { signal: signal() })).toBe('notPublic');
  await outgoing.close();
});

it.each(['ftp://example.com/', 'file:///etc/passwd', 'data:,x', 'https://ann:secret@example.com/', '/x', ''])(
  '"%s" is no address',
  async (url) => {
    const outgoing = new Outgoing({ mayBePrivate: true });
    expect(await outgoing.call(url, { signal: signal() })).toBe('malformed');
    await outgoing.close();
  },
);

it.each([
  ['one address', ['127.0.0.1']],
  ['a second address', ['93.184.215.14', '10.0.0.1']],
  ['an IPv4 address within IPv6', ['::ffff:127.0.0.1']],
  ['NAT64', ['64:ff9b::7f00:1']],
  ['a link', ['fe80::1%eth0']],
  ['no address at all', ['localhost']],
])('a name that leads inside by %s is not called', async (_, addresses) => {
  const lookUp = async () => addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
  for (const proxies of [{}, { all: proxy.httpUrl }]) {
    const outgoing = new Outgoing({ mayBePrivate: false, lookUp, proxies });
    const url = `http://inside.test:${portOfServer()}/`;
    expect(await outgoing.call(url, { signal: signal() })).toBe('notPublic');
    await outgoing.close();
  }
  expect(hosts).toEqual([]);
  expect(proxy.asked).toEqual([]);
});

it('the address that was checked is the one that is called, by its name, also through a proxy', async () => {
  let lookUps = 0;
  // Whoever looks twice is led inside.
  const lookUp = async () => [{ address: lookUps++ === 0 ? '93.184.215.14' : '127.0.0.1', family: 4 }];
  const outgoing = new Outgoing({ mayBePrivate: false, lookUp, proxies: { http: proxy.httpUrl } });
  const answer = await outgoing.call('http://outside.test:8080/', { signal: signal() });
  expect(await (typeof answer === 'string' ? answer : answer.text())).toBe('here');
  expect([lookUps, proxy.asked.splice(0), hosts.splice(0)]).toEqual([
    1,
    ['93.184.215.14:8080'],
    ['outside.test:8080'],
  ]);
  await outgoing.close();
});

it('over TLS the name is asked for, not the address', async () => {
  const lookUp = async () => [{ address: '93.184.215.14', family: 4 }];
  const outgoing = new Outgoing({ mayBePrivate: false, lookUp, proxies: { https: proxy.httpUrl } });
  // The certificate is the tests' own.
  const refusal = await outgoing.call('https://outside.test/', { signal: signal() }).catch((error) => error);
  expect(refusal.cause.code).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
  expect([proxy.asked.splice(0), proxy.servedNames]).toEqual([['93.184.215.14:443'], ['outside.test']]);
  await outgoing.close();
});

it('where everything is allowed, this machine is called, and a proxy finds the names', async () => {
  const lookUp = () => Promise.reject(new Error('is not asked'));
  const direct = new Outgoing({ mayBePrivate: true, lookUp });
  const proxied = new Outgoing({ mayBePrivate: true, lookUp, proxies: { http: proxy.httpUrl } });
  for (const [outgoing, url] of [
    [direct, `http://127.0.0.1:${portOfServer()}/`],
    [proxied, 'http://only-there.test/'],
  ] as const) {
    expect(await outgoing.call(url, { signal: signal() })).toMatchObject({ status: 200 });
    await outgoing.close();
  }
  expect(proxy.asked.splice(0)).toEqual(['only-there.test:80']);
});
