/** Webhooks: what a receiver gets, how it knows who wrote, and what becomes of one that is away, moved or gone. */
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { KinoraError } from '../../src/errors.ts';
import { Keys } from '../../src/queue/keys.ts';
import { errorSchema } from '../../src/web/problem.ts';
import { WebhookSigner } from '../../src/web/webhooks/signing.ts';
import { eventually, timedGenerator } from '../helpers/queue-harness.ts';
import { WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

interface Call {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

let web: WebFixture;
let ann: WebPerson;
let server: Server;
const calls: Call[] = [];
/** Statuses of the next answers; then 200. */
const answers: { readonly status: number; readonly location?: string }[] = [];

beforeAll(async () => {
  server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    );
    calls.push({ path: request.url ?? '', headers, body });
    const { status, location } = answers.shift() ?? { status: 200 };
    response.writeHead(status, location ? { location } : {}).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  web = await WebFixture.start({ outgoing: { mayBePrivate: true } });
  ann = await web.person();
  const generate = timedGenerator(10);
  await web.worker(async (entry, files, hooks) => {
    if (entry.request.generation.prompt === 'fail')
      throw new KinoraError('BAD_NUMBERS', 'Nothing came of it.');
    return await generate(entry, files, hooks);
  });
});
afterEach(async () => {
  calls.length = 0;
  for (const { id } of await list(ann)) await ann.call(`/v1/webhooks/${id}`, { method: 'DELETE' });
});
afterAll(async () => {
  await web.stop();
  server.close();
});

const receiver = (path = ''): string => {
  const { port } = server.address() as AddressInfo; // it listens
  return `http://127.0.0.1:${port}/${path}`;
};
const createdSchema = z.object({ id: z.string(), secret: z.string(), url: z.string() });
async function subscribe(who: WebPerson, url = receiver()): Promise<z.infer<typeof createdSchema>> {
  return createdSchema.parse(await (await who.postJson('/v1/webhooks', { url })).json());
}
const listedSchema = z.object({
  data: z.array(z.object({ id: z.string(), url: z.string(), disabled: z.boolean() })),
});
async function list(who: WebPerson): Promise<z.infer<typeof listedSchema>['data']> {
  return listedSchema.parse(await (await who.call('/v1/webhooks')).json()).data;
}
async function refusal(response: Response): Promise<[number, string]> {
  return [response.status, errorSchema.parse(await response.json()).error.code];
}

it('a receiver verifies the message with the package of the specification, and finds the video', async () => {
  const { secret, url } = await subscribe(ann);
  expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  const { id } = await ann.create();
  await eventually('the call', () => calls.length === 1);
  const [call] = calls;
  const payload = new Webhook(secret).verify(call?.body ?? '', call?.headers ?? {});
  expect(payload).toMatchObject({
    type: 'video.completed',
    data: { id, object: 'video', status: 'completed' },
  });
  expect((await ann.video(id)).status).toBe('completed');
  expect(() => new Webhook(secret).verify(`${call?.body} `, call?.headers ?? {})).toThrow();
  expect(await list(ann)).toEqual([expect.objectContaining({ url, disabled: false })]);
  // The secret is shown once, and Redis does not have it; the key in the data folder is for nobody else to read.
  const bytes = secret.slice('whsec_'.length);
  const redis = web.redis.connect();
  expect(JSON.stringify(await redis.hgetall('{kinora}:webhooks'))).not.toContain(bytes);
  const key = join(web.folder, 'webhook.key');
  expect([(await readFile(key)).length, (await stat(key)).mode & 0o777]).toEqual([32, 0o600]);
});

it('a machine with another key notices, while there are webhooks', async () => {
  const [redis, keys] = [web.redis.failFast(), new Keys()];
  await subscribe(ann);
  const isAnother = async (file: string): Promise<boolean> =>
    await (await WebhookSigner.open(join(web.folder, file))).isAnother(redis, keys);
  expect(await isAnother('webhook.key')).toBe(false);
  expect(await isAnother('other.key')).toBe(true);
  for (const { id } of await list(ann)) await ann.call(`/v1/webhooks/${id}`, { method: 'DELETE' });
  expect(await isAnother('other.key')).toBe(false);
  expect(await isAnother('webhook.key')).toBe(false);
});

it('is told of failures, and only of the own videos', async () => {
  const bob = await web.person();
  await subscribe(ann, receiver('ann'));
  await subscribe(bob, receiver('bob'));
  const { id } = await bob.create({ prompt: 'fail' });
  await eventually('the call', () => calls.length === 1);
  const [call] = calls;
  expect(call?.path).toBe('/bob');
  expect(JSON.parse(call?.body ?? '')).toMatchObject({
    type: 'video.failed',
    data: { id, status: 'failed' },
  });
  const others = await list(ann);
  expect(await refusal(await bob.call(`/v1/webhooks/${others[0]?.id}`, { method: 'DELETE' }))).toEqual([
    404,
    'webhook_not_found',
  ]);
  for (const webhook of await list(bob)) await bob.call(`/v1/webhooks/${webhook.id}`, { method: 'DELETE' });
});

it('one that is away is told again, under the same id', async () => {
  const { secret } = await subscribe(ann);
  answers.push({ status: 500 }, { status: 302, location: receiver('moved') });
  await ann.create();
  await eventually('the calls', () => calls.length === 3);
  expect(new Set(calls.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  // Redirects are not followed.
  expect(calls.map(({ path }) => path)).toEqual(['/', '/', '/']);
  for (const { body, headers } of calls) new Webhook(secret).verify(body, headers);
});

it('one that says it is gone is not called again', async () => {
  await subscribe(ann);
  answers.push({ status: 410 });
  await ann.create();
  await eventually('the end', async () => (await list(ann))[0]?.disabled === true);
  const { id } = await ann.create();
  expect((await ann.finished(id)).status).toBe('completed');
  expect(calls).toHaveLength(1);
});

it('what waits survives a restart', async () => {
  await subscribe(ann);
  const { id } = await ann.create();
  await ann.finished(id);
  await web.stopBot();
  await web.startBot();
  await eventually('the call', () => calls.length > 0);
  expect(new Set(calls.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
});

it.each(['ftp://example.com/', 'example.com', 'https://ann:secret@example.com/', ''])(
  '%j is no address for a webhook',
  async (url) => {
    expect(await refusal(await ann.postJson('/v1/webhooks', { url }))).toEqual([400, 'invalid_webhook_url']);
  },
);

it('there are at most ten of one person', async () => {
  const bob = await web.person();
  for (let i = 0; i < 10; i++) await subscribe(bob, receiver(String(i)));
  const eleventh = await bob.postJson('/v1/webhooks', { url: receiver('11') });
  expect(await refusal(eleventh)).toEqual([409, 'webhook_limit']);
});

it('no address of this machine is called unless the operator allows it, whatever its name', async () => {
  const strict = await WebFixture.start();
  const bob = await strict.person();
  for (const url of [receiver(), 'http://[::1]/', 'http://10.0.0.1/', 'https://169.254.169.254/latest']) {
    expect(await refusal(await bob.postJson('/v1/webhooks', { url }))).toEqual([400, 'invalid_webhook_url']);
  }
  // A name is looked up when it is called.
  const { port } = server.address() as AddressInfo; // it listens
  await subscribe(bob, `http://localhost:${port}/`);
  await strict.worker(timedGenerator(10));
  const { id } = await bob.create();
  await bob.finished(id);
  const redis = strict.redis.connect();
  await eventually('the end of the attempts', async () => {
    const queued = await redis.keys('{kinora}:bull:webhook:video-*');
    return queued.length === 0;
  });
  expect(calls).toEqual([]);
  await strict.stop();
});

it('is tried on request, signed like all messages, and says how it was answered', async () => {
  const { id, secret } = await subscribe(ann);
  const tried = async (who = ann): Promise<unknown> =>
    await (await who.call(`/v1/webhooks/${id}/test`, { method: 'POST' })).json();
  expect(await tried()).toEqual({ id, delivered: true, status: 200 });
  const [call] = calls;
  const message = new Webhook(secret).verify(call?.body ?? '', call?.headers ?? {});
  expect(message).toMatchObject({ type: 'webhook.test', data: { id, object: 'webhook' } });
  answers.push({ status: 302, location: receiver('elsewhere') });
  expect(await tried()).toEqual({ id, delivered: false, status: 302 });
  const away = await subscribe(ann, 'http://127.0.0.1:9/');
  const answer = await ann.call(`/v1/webhooks/${away.id}/test`, { method: 'POST' });
  expect(await answer.json()).toEqual({ id: away.id, delivered: false, status: null });
  expect(await tried(await web.person())).toMatchObject({ error: { code: 'webhook_not_found' } });
  for (let i = 0; i < 7; i++) await tried();
  expect(await tried()).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
});
