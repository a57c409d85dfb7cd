/** What holds for every route of the API: keys, errors, limits, health, and the document that describes it. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createLogger } from '../../src/log.ts';
import { errorSchema } from '../../src/web/problem.ts';
import { Browser } from '../helpers/browser.ts';
import { eventually, timedGenerator } from '../helpers/queue-harness.ts';
import { WebFixture } from '../helpers/web-fixture.ts';

const documentSchema = z.object({
  openapi: z.literal('3.1.0'),
  paths: z.record(
    z.string(),
    z.record(
      z.string(),
      z.object({
        summary: z.string(),
        responses: z.record(z.string(), z.unknown()),
        requestBody: z.unknown().optional(),
      }),
    ),
  ),
  components: z.object({ schemas: z.record(z.string(), z.unknown()) }),
});
const bodySchema = z.object({
  schema: z.object({ required: z.array(z.string()), properties: z.record(z.string(), z.unknown()) }),
});
const formSchema = z.object({
  content: z.object({ 'multipart/form-data': bodySchema, 'application/json': bodySchema }),
});

let web: WebFixture;
beforeAll(async () => {
  web = await WebFixture.start({ limits: { perAddress: 40, perKey: 30 } });
});
afterAll(() => web.stop());

const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${web.url}${path}`, { headers });

describe('keys', () => {
  it.each([
    ['nothing', {}],
    ['another scheme', { authorization: 'Basic a2lub3JhOmtpbm9yYQ==' }],
    ['a key that was never made', { authorization: `Bearer kinora_000000000000_${'A'.repeat(43)}` }],
    ['one that is too long', { 'x-api-key': 'k'.repeat(5_000) }],
  ])('%s is refused before it is told whether a route exists', async (_what, headers) => {
    for (const path of ['/v1/videos', '/nowhere', '/admin']) {
      const response = await get(path, headers);
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      expect(errorSchema.parse(await response.json()).error).toMatchObject({
        type: 'authentication_error',
        code: 'invalid_api_key',
        param: null,
      });
    }
  });

  it('both ways to send one are taken, until it is revoked', async () => {
    const { token } = await web.person();
    for (const headers of [{ authorization: `Bearer ${token}` }, { 'x-api-key': token }]) {
      expect((await get('/nowhere', headers)).status).toBe(404);
    }
    await web.redis.connect().del('{kinora}:apikeys');
    expect((await get('/nowhere', { 'x-api-key': token })).status).toBe(401);
  });
});

it('answers nobody without a key or a session, but where everybody may come', async () => {
  const lenient = await WebFixture.start({ limits: { perAddress: 1_000 } });
  const document = (await (await fetch(`${lenient.url}/openapi.json`)).json()) as {
    paths: Record<string, object>;
  };
  const answered: string[] = [];
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const method of Object.keys(methods)) {
      const { status } = await fetch(`${lenient.url}${path.replaceAll(/\{\w+\}/g, 'x')}`, {
        method: method.toUpperCase(),
      });
      if (status !== 401) answered.push(`${method} ${path} ${status}`);
    }
  }
  // A browser says that it comes from the page: without that, signing in is refused.
  expect(answered.sort()).toEqual([
    'get /health 200',
    'get /leading 200',
    'get /ready 503',
    'post /v1/sign-in 403',
    'post /v1/sign-in/look 403',
  ]);
  await lenient.stop();
});

describe('errors', () => {
  it('speak the language of the caller, have an id and forbid to be kept', async () => {
    const response = await get('/nowhere', { 'accept-language': 'zh-CN,en;q=0.5', 'x-request-id': 'mine' });
    expect(errorSchema.parse(await response.json()).error.message).toMatch(/密钥/);
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
  });

  it.each([
    '/%',
    '/v1/videos/%00',
    `/${'a'.repeat(3_000)}`,
    '/docs/../../etc/passwd',
    '/docs/static/%2e%2e/%2e%2e/x',
  ])('%s is answered without a path or a stack', async (path) => {
    const response = await get(path, { 'x-api-key': (await web.person()).token });
    expect([400, 404, 414]).toContain(response.status);
    expect(await response.text()).not.toMatch(/node_modules|\/work|\/home|at \w+ \(/);
  });
});

it.each([
  ['POST', '/v1/me', 'GET, HEAD'],
  ['PATCH', '/v1/videos/video-1', 'GET, HEAD, DELETE'],
  ['OPTIONS', '/v1/videos', 'POST, GET, HEAD'],
  ['DELETE', '/health', 'GET, HEAD'],
])('%s %s is told which methods there are', async (method, path, allow) => {
  const { token } = await web.person();
  const response = await fetch(`${web.url}${path}`, { method, headers: { 'x-api-key': token } });
  expect([response.status, response.headers.get('allow')]).toEqual([405, allow]);
  expect(errorSchema.parse(await response.json()).error.code).toBe('method_not_allowed');
});

it('a name of any length is refused in the form of errors, to those who may ask', async () => {
  const path = `/v1/videos/${'a'.repeat(3_000)}`;
  expect((await get(path)).status).toBe(401);
  const response = await get(path, { 'x-api-key': (await web.person()).token });
  expect([response.status, errorSchema.parse(await response.json()).error.code]).toEqual([
    400,
    'bad_request',
  ]);
  expect(errorSchema.parse(await (await get('/%')).json()).error.code).toBe('bad_request');
});

describe('limits', () => {
  it('a key that calls too often is told how often it may', async () => {
    const headers = { 'x-api-key': (await web.person()).token };
    const answers = await Promise.all(Array.from({ length: 40 }, () => get('/nowhere', headers)));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused).toHaveLength(10);
    expect(Number(refused[0]?.headers.get('retry-after'))).toBeGreaterThan(0);
    const { error } = errorSchema.parse(await refused[0]?.json());
    expect(error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded' });
    expect(error.message).toMatch(/30 calls in 60 seconds/);
    // Another key of the same address goes on.
    expect((await get('/nowhere', { 'x-api-key': (await web.person()).token })).status).toBe(404);
  });

  it('a session counts for itself, as a key does', async () => {
    const browser = await Browser.of(web, 'discord:1');
    const other = await Browser.of(web, 'discord:2');
    const answers: number[] = [];
    for (let i = 0; i < 32; i++) answers.push((await browser.call('/nowhere')).status);
    expect(answers.filter((status) => status === 429)).toHaveLength(2);
    expect((await other.call('/nowhere')).status).toBe(404);
  });

  it('a client that sends its headers, or its body, a byte at a time is cut off', async () => {
    const strict = await WebFixture.start({ limits: { headersMs: 500, requestMs: 1_500 } });
    const { port } = new URL(strict.url);
    const { token } = await strict.person();
    const began = performance.now();
    const head = 'POST /v1/videos HTTP/1.1\r\nHost: x\r\nX-';
    const body = `Api-Key: ${token}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{`;
    await Promise.all(
      [head, `${head}${body}`].map(async (start) => {
        const socket = connect(Number(port), '127.0.0.1').on('error', () => {});
        socket.write(start);
        const dripping = setInterval(() => socket.write('x'), 100);
        socket.resume();
        await once(socket, 'close');
        clearInterval(dripping);
      }),
    );
    expect(performance.now() - began).toBeLessThan(20_000);
    await strict.stop();
  });
});

describe('health', () => {
  it('is ready only with a worker, while requests are taken', async () => {
    const redis = web.redis.connect();
    const ready = async (): Promise<unknown> => {
      const response = await get('/ready');
      return [response.status, await response.json()];
    };
    expect(await (await get('/health')).json()).toEqual({ status: 'ok' });
    expect(await ready()).toEqual([503, { status: 'not_ready', mode: 'running', workers: 0 }]);
    const worker = await web.worker(timedGenerator(10));
    await eventually('the worker', async () => (await get('/ready')).status === 200);
    for (const mode of ['paused', 'draining']) {
      await redis.set('{kinora}:mode', mode);
      expect(await ready()).toEqual([503, { status: 'not_ready', mode, workers: 1 }]);
    }
    await redis.del('{kinora}:mode');
    await worker.stop(0);
    expect(await ready()).toEqual([503, { status: 'not_ready', mode: 'running', workers: 0 }]);
  });
});

it('describes itself as OpenAPI 3.1, and on a page that loads nothing from elsewhere', async () => {
  const document: unknown = await (await get('/openapi.json')).json();
  const { paths, components } = documentSchema.parse(document);
  expect(Object.keys(paths)).toContain('/ready');
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { summary, responses }] of Object.entries(methods)) {
      expect(summary, `${method} ${path}`).toMatch(/\w/);
      const statuses = Object.keys(responses);
      expect(statuses.filter((status) => !/^\d{3}$/.test(status))).toEqual([]);
      if (path.startsWith('/v1/'))
        expect(statuses, `${method} ${path}`).toEqual(expect.arrayContaining(['200', '400', '429', '503']));
    }
  }
  // Each schema once.
  expect(Object.keys(components.schemas).filter((name) => name.endsWith('Input'))).toEqual([]);
  const { content } = formSchema.parse(paths['/v1/videos']?.['post']?.requestBody);
  const { input_reference: file, ...texts } = content['multipart/form-data'].schema.properties;
  expect(file).toMatchObject({ type: 'string', format: 'binary' });
  expect(texts['seconds']).toMatchObject({ type: 'string' });
  expect(content['application/json'].schema.required).toEqual(['input_reference']);
  const page = await get('/docs/');
  expect(page.status).toBe(200);
  expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'self'; (?!.*(https?:|upgrade))/);
  const sources = [...(await page.text()).matchAll(/(?:src|href)="([^"]*)"/g)].map(([, source]) => source);
  expect(sources.length).toBeGreaterThan(3);
  expect(sources.filter((source) => /^(https?:)?\/\//.test(source ?? ''))).toEqual([]);
});

it.each([
  ['a network', '192.0.2.1', undefined, /open to a network.*KINORA_PUBLIC_URL/],
  ['a network, behind a proxy with TLS', '192.0.2.1', 'https://kinora.example', /^$/],
  ['this machine', '127.0.0.1', undefined, /^$/],
])('warns about keys in the clear where it serves %s as it is', async (_what, host, publicUrl, warning) => {
  let logged = '';
  const write = (line: string): void => {
    logged += line;
  };
  const log = createLogger('web', 'warn', { write });
  // No machine has the first address, so nobody is served there.
  const options = { host, log, ...(publicUrl ? { publicUrl } : {}) };
  await WebFixture.start(options).then(
    (started) => started.stop(),
    () => {},
  );
  expect(logged).toMatch(warning);
});

it('a port that is taken is a wrong setting', async () => {
  const { port } = new URL(web.url);
  await expect(WebFixture.start({ port: Number(port) })).rejects.toMatchObject({
    code: 'INVALID_CONFIG',
    message: expect.stringMatching(/^KINORA_WEB_PORT: 127\.0\.0\.1:\d+ cannot be used \(EADDRINUSE\)/),
  });
});
