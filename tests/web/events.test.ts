/** The events of a video, as a client reads them: in order, from where it left off, and without harm when it leaves. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ApiKeys } from '../../src/queue/api-keys.ts';
import { Ledger } from '../../src/queue/ledger.ts';
import { Sessions } from '../../src/queue/sessions.ts';
import { videoSchema } from '../../src/web/videos/schemas.ts';
import { eventually, timedGenerator } from '../helpers/queue-harness.ts';
import { WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

interface Heard {
  readonly id: string;
  readonly event: string;
  readonly data: Record<string, unknown>;
}

let web: WebFixture;
let ann: WebPerson;
beforeAll(async () => {
  web = await WebFixture.start();
  ann = await web.person();
});
afterAll(() => web.stop());

/** Listens until the stream ends, or `enough` says so. */
async function listen(
  who: WebPerson,
  videoId: string,
  { lastId, enough = () => false }: { lastId?: string; enough?: (heard: readonly Heard[]) => boolean } = {},
): Promise<Heard[]> {
  const leaving = new AbortController();
  const headers = lastId === undefined ? {} : { 'last-event-id': lastId };
  const response = await who.call(`/v1/videos/${videoId}/events`, { headers, signal: leaving.signal });
  expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
  const heard: Heard[] = [];
  let text = '';
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const [, id, event, data] = /^id: (.*)\nevent: (.*)\ndata: (.*)$/.exec(text.slice(0, end)) ?? [];
      text = text.slice(end + 2);
      if (id && event && data) heard.push({ id, event, data: JSON.parse(data) });
    }
    if (enough(heard)) break;
  }
  leaving.abort();
  return heard;
}

it('tells the place, then the real phases and steps of a run, then the end, and ends', async () => {
  const { id } = await ann.create({ preset: 'fast' });
  const listening = listen(ann, id);
  const worker = await web.realWorker();
  const heard = await listening;
  await worker.stop(0);
  expect(heard[0]).toMatchObject({ event: 'position', data: { queue_position: 0 } });
  const order = ['position', 'phase', 'step', 'decoding', 'phase', 'done'];
  const events = heard.map(({ event }) => event).filter((event, index, all) => event !== all[index - 1]);
  let at = 0;
  for (const event of events) {
    at = order.indexOf(event, at);
    expect(at, events.join()).toBeGreaterThanOrEqual(0);
  }
  const steps = heard.filter(({ event }) => event === 'step').map(({ data }) => Number(data['step']));
  expect(steps).toEqual([...steps].sort((a, b) => a - b));
  expect(new Set(heard.map(({ id }) => id)).size).toBe(heard.length);
  expect(videoSchema.parse(heard.at(-1)?.data)).toMatchObject({ id, status: 'completed', progress: 100 });

  // Whoever comes late hears the end; whoever has heard it is told to come no more.
  expect((await listen(ann, id)).map(({ event }) => event)).toEqual(['done']);
  const again = await ann.call(`/v1/videos/${id}/events`, { headers: { 'last-event-id': 'done' } });
  expect(again.status).toBe(204);
});

it('goes on after what a client has, also over a new bot, and a client that leaves takes nothing with it', async () => {
  const worker = await web.worker(timedGenerator(8_000));
  const { id } = await ann.create();
  const first = await listen(ann, id, {
    enough: (heard) => heard.filter(({ event }) => event === 'step').length === 2,
  });
  await web.stopBot();
  await web.startBot();
  const lastId = first.at(-1)?.id ?? '';
  const rest = await listen(ann, id, { lastId });
  expect(rest.map((event) => event.id)).not.toContain(lastId);
  const steps = [...first, ...rest].filter(({ event }) => event === 'step').map(({ data }) => data['step']);
  expect(steps).toEqual([...new Set(steps)]);
  expect(rest.at(-1)).toMatchObject({ event: 'done', data: { status: 'completed' } });
  await worker.stop(0);
});

it('ends with the code of a cancellation, and when the video is deleted', async () => {
  const { id } = await ann.create();
  const listening = listen(ann, id);
  await sleep(300);
  await ann.call(`/v1/videos/${id}/cancel`, { method: 'POST' });
  expect((await listening).at(-1)).toMatchObject({ event: 'done', data: { error: { code: 'CANCELLED' } } });

  const other = await ann.create();
  const deaf = listen(ann, other.id);
  await sleep(300);
  await ann.call(`/v1/videos/${other.id}`, { method: 'DELETE' });
  expect((await deaf).map(({ event }) => event)).not.toContain('done');
});

it('of a video and of the log end when their key or session is revoked, and no others do', async () => {
  const redis = web.redis.connect();
  const [apiKeys, sessions] = [new ApiKeys(redis), new Sessions(redis)];
  const { userKey } = ann;
  const scopes = ['use', 'admin'] as const;
  const { key, token } = await apiKeys.create({ name: 'lost', userKey, scopes });
  const { session, token: cookie } = await sessions.create({ userKey, scopes, browser: '' });
  const { id } = await ann.create();
  const hear = async (path: string, headers: Record<string, string>): Promise<() => Promise<string>> => {
    const response = await fetch(`${web.url}${path}`, { headers });
    expect(response.status).toBe(200);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await reader?.read())?.value ?? '';
    return async () => {
      for (;;) {
        const { done, value } = (await reader?.read()) ?? { done: true };
        if (done) return text;
        text += value;
      }
    };
  };
  const ends: (() => Promise<string>)[] = [];
  for (const path of [`/v1/videos/${id}/events`, '/v1/admin/log']) {
    ends.push(await hear(path, { authorization: `Bearer ${token}` }));
    ends.push(await hear(path, { cookie: `kinora_session=${cookie}` }));
  }
  const others = listen(ann, id);
  await apiKeys.revoke(key.id);
  await sessions.revoke(userKey, session.id);
  // A log that ends by itself, after a minute, says where to go on.
  for (const end of ends) expect(await end()).not.toMatch(/event: (done|rest)/);
  await ann.call(`/v1/videos/${id}/cancel`, { method: 'POST' });
  expect((await others).at(-1)?.event).toBe('done');
});

it('one bot serves many who listen', async () => {
  const bob = await web.person();
  const { id } = await bob.create();
  const listening = Array.from({ length: 100 }, () => listen(bob, id));
  await eventually(
    'that all are heard',
    async () => (await new Ledger(web.redis.connect()).read(id)) !== undefined,
  );
  await sleep(500);
  await bob.call(`/v1/videos/${id}/cancel`, { method: 'POST' });
  for (const heard of await Promise.all(listening)) expect(heard.at(-1)?.event).toBe('done');
});
