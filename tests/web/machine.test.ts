/** What admins see of the machine over the API: queue, workers, trail, log; and the rules and weights they set. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { createLogger } from '../../src/log.ts';
import { Keys } from '../../src/queue/keys.ts';
import { shareLog } from '../../src/queue/live-log.ts';
import { WorkerBeat, type WorkerVitals } from '../../src/queue/worker-registry.ts';
import { errorSchema } from '../../src/web/problem.ts';
import { eventually, timedGenerator } from '../helpers/queue-harness.ts';
import { WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

let web: WebFixture;
let root: WebPerson;
let ann: WebPerson;
beforeAll(async () => {
  web = await WebFixture.start();
  root = await web.person('discord:1', ['use', 'admin']);
  ann = await web.person('discord:8035');
});
afterAll(() => web.stop());

const send = async (method: string, path: string, body?: unknown): Promise<Response> =>
  await root.call(`/v1/admin/${path}`, {
    method,
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
const anything = z.any();
const answer = async (method: string, path: string, body?: unknown) => {
  const response = await send(method, path, body);
  expect([response.status, path]).toEqual([200, path]);
  return anything.parse(await response.json());
};

const vitals: WorkerVitals = {
  ...{ state: 'starting', stateMs: 1_000, upMs: 5_000, model: 'tiny', hardware: 'A GPU' },
  ...{ engineRestarts: 1, engineError: null, engineBytes: 123_456_789_012, gpuUsedBytes: 4e9 },
  ...{ totalBytes: 8e9, celsius: 61, stepMs: 41.5, cacheHits: 3, cacheMisses: 4, cacheBytes: 5e6 },
  ...{ made: 6, failed: 1, madeLastHour: 2 },
};

it('shows the queue in serving order with names and places, a bounded part of it', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) ids.push((await ann.create({ preset: 'fast', prompt: 'a secret wish' })).id);
  const queue = await answer('GET', 'queue?limit=2');
  expect(queue).toMatchObject({ mode: 'running', mode_set: null, waiting: 3, running: 0, answering: 0 });
  expect(queue.data).toMatchObject([
    { id: ids[0], user: 'discord:8035', name: 'test', surface: 'web', state: 'waiting', position: 0 },
    { id: ids[1], preset: 'fast', position: 1, cancelling: false },
  ]);
  expect(queue.disk.free_bytes).toBeGreaterThan(0);
  expect(Date.now() / 1000 - queue.oldest_waiting_at).toBeLessThan(60);
  expect(JSON.stringify(queue)).not.toContain('wish');

  await web.worker(timedGenerator(30_000));
  await eventually('a step', async () => (await answer('GET', 'queue')).data[0].step > 0);
  const running = await answer('GET', 'queue');
  expect(running.data[0]).toMatchObject({ state: 'running', phase: 'denoising', steps: 10, position: null });
  expect(running).toMatchObject({ waiting: 2, running: 1 });
  for (const id of ids) await answer('POST', `videos/${id}/cancel`);
  await eventually('the end', async () => (await answer('GET', 'queue')).data.length === 0);
});

it('says who paused, when and why', async () => {
  await answer('PUT', 'mode', { mode: 'paused', reason: 'a new GPU' });
  const { mode, mode_set } = await answer('GET', 'queue');
  expect([mode, mode_set.by, mode_set.reason]).toEqual(['paused', 'discord:1', 'a new GPU']);
  const { data } = await answer('GET', 'workers');
  expect(data[0].state).toBe('paused');
  await answer('PUT', 'mode', { mode: 'running' });
});

it('shows what workers measure, and counts one that loads its model as no worker yet', async () => {
  const beat = new WorkerBeat(web.redis.patient(), new Keys(), 'cuda:1', () => vitals);
  beat.begin();
  const shown = async () =>
    (await answer('GET', 'workers')).data.find(({ device }: { device: string }) => device === 'cuda:1');
  await eventually('the beat', async () => (await shown()) !== undefined);
  const { last_seen, since, started_at, ...worker } = await shown();
  expect(worker).toEqual({
    ...{ id: beat.id, device: 'cuda:1', alive: true, video_id: null, state: 'loading', model: 'tiny' },
    ...{ hardware: 'A GPU', celsius: 61, step_ms: 41.5 },
    memory: { engine_bytes: 123_456_789_012, gpu_used_bytes: 4e9, total_bytes: 8e9 },
    engine: { restarts: 1, error: null },
    cache: { hits: 3, misses: 4, bytes: 5e6 },
    videos: { made: 6, failed: 1, last_hour: 2 },
  });
  expect(Date.parse(last_seen) - Date.parse(since)).toBe(1_000);
  expect(Date.parse(last_seen) - Date.parse(started_at)).toBe(5_000);
  expect((await answer('GET', 'stats')).workers.alive).toBe(1);
  beat.serve('cuda:1');
  await eventually('two', async () => (await answer('GET', 'stats')).workers.alive === 2);
  await beat.stop();
});

it('pages through the trail, and lists whose credits were set', async () => {
  await answer('PUT', 'quotas/user:discord:8035', { per_day: 7 });
  await answer('POST', 'grants', { user: 'discord:9', credits: 4 });
  expect((await answer('GET', 'quotas')).data).toEqual([
    { target: 'user:discord:8035', name: 'test', per_day: 7, granted: 0 },
    { target: 'user:discord:9', name: null, per_day: null, granted: 4 },
  ]);
  expect(await answer('POST', 'quotas/user:discord:8035/reset')).toEqual({ changed: true });
  expect((await send('POST', 'quotas/role:discord:1/reset')).status).toBe(400);
  const first = await answer('GET', 'audit?limit=2');
  expect(first.has_more).toBe(true);
  const ids: string[] = first.data.map(({ id }: { id: string }) => id);
  const second = await answer('GET', `audit?limit=25&before=${ids[1]}`);
  expect(second.data.map(({ id }: { id: string }) => id)).not.toContain(ids[1]);
  expect([...first.data, ...second.data].map(({ action }) => action).slice(0, 3)).toEqual([
    ...['reset-used', 'grant', 'credits'],
  ]);
  expect((await send('GET', 'audit?before=nonsense')).status).toBe(400);
});

it('sets weights, and refuses those out of range with the range', async () => {
  const target = 'community:discord:77';
  expect(await answer('PUT', `weights/${target}`, { weight: 2.5 })).toEqual({ target, weight: 2.5 });
  expect((await answer('GET', 'weights')).data).toEqual([{ target, weight: 2.5 }]);
  const refused = errorSchema.parse(await (await send('PUT', `weights/${target}`, { weight: 99 })).json());
  expect(refused.error.message).toMatch(/0\.1.*10/);
  expect(await answer('DELETE', `weights/${target}`)).toEqual({ changed: true });
  expect(await answer('GET', `weights/${target}`)).toEqual({ target, weight: null });
});

it('changes the rules of a community as its moderators would', async () => {
  const none = {
    ...{ community: 'discord:77', channels: [], roles: [], words: [] },
    ...{ spoiler: false, age: false, as_channel: false, preset: 'any' },
  };
  expect(await answer('GET', 'rules/discord:77')).toEqual(none);
  const change = { channels: ['discord:5', 'discord:6'], spoiler: true, preset: 'fast', add_words: 'foo' };
  expect(await answer('PATCH', 'rules/discord:77', change)).toEqual({
    ...none,
    ...{ channels: ['discord:5', 'discord:6'], spoiler: true, preset: 'fast', words: ['foo'] },
  });
  const less = await answer('PATCH', 'rules/discord:77', { channels: ['discord:6'], remove_words: 'foo' });
  expect([less.channels, less.words, less.spoiler]).toEqual([['discord:6'], [], true]);
  expect((await answer('GET', 'rules')).data).toEqual(['discord:77']);
  // Telegram has no roles: such a rule would refuse everybody.
  const refused = await send('PATCH', 'rules/telegram:-5', { roles: ['telegram:1'] });
  expect(errorSchema.parse(await refused.json()).error.param).toBe('roles');
  const { data } = await answer('GET', 'audit?limit=25');
  expect(data[0]).toMatchObject({ action: 'rule', by: 'discord:1' });
});

/** Events of the live log until `isEnough`. */
async function readLog(query: string, isEnough: (text: string) => boolean, lastId?: string): Promise<string> {
  const controller = new AbortController();
  const response = await root.call(`/v1/admin/log?${query}`, {
    signal: controller.signal,
    ...(lastId === undefined ? {} : { headers: { 'last-event-id': lastId } }),
  });
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (isEnough(text)) break;
  }
  controller.abort();
  return text;
}

it('streams the log, filtered, and goes on behind the last event', async () => {
  const sharing = shareLog(web.redis.address);
  const log = createLogger('bot', 'debug');
  log.info({ jobId: 'web-5' }, 'taken');
  log.debug('too much');
  log.child({ part: 'engine' }).warn('hot');
  const first = await readLog('level=info', (text) => text.includes('hot'));
  expect(first).toContain('"part":"bot","text":"taken","details":{"jobId":"web-5"}');
  expect(first).not.toContain('too much');
  const id = /id: (\S+)\nevent: line\ndata: .*hot/.exec(first)?.[1] ?? '';
  log.info('later');
  const next = await readLog('level=info', (text) => text.includes('later'), id);
  expect(next).not.toContain('hot');
  expect(next).not.toContain('event: gap');
  expect(await readLog('part=engine', (text) => text.includes('hot'))).not.toContain('later');
  const gap = await readLog('', (text) => text.includes('later'), '1-0');
  expect(gap).toContain('event: gap');
  expect((await send('GET', 'log?level=loud')).status).toBe(400);
  sharing.stop();
});
