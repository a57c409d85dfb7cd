/** A worker whose engine has given its memory back says so everywhere, and jobs are told of the load: the tiny pack. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { messagesFor } from '../../src/bot/sentences/catalogue.ts';
import { renderAdmin } from '../../src/bot/sentences/render-admin.ts';
import type { Engine } from '../../src/engine/supervisor.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import { RedisProbe } from '../../src/metrics/redis-probe.ts';
import type { JobClient } from '../../src/queue/client.ts';
import { recordLoad } from '../../src/queue/durations.ts';
import { kindName } from '../../src/queue/models.ts';
import { queueStats } from '../../src/queue/stats.ts';
import { WorkerBeat } from '../../src/queue/worker-registry.ts';
import { engineGenerate } from '../../src/worker/generate.ts';
import { WorkerMetrics } from '../../src/worker/metrics.ts';
import { Vitals } from '../../src/worker/vitals.ts';
import { JobWorker } from '../../src/worker/worker.ts';
import { engineRequest } from '../chaos/worker-handle.ts';
import { startEngine, temporaryFolder, tinyPack } from '../helpers/engine-fixture.ts';
import { eventually, Harness, log } from '../helpers/queue-harness.ts';

let harness: Harness;
let client: JobClient;
beforeAll(async () => {
  harness = await Harness.start();
  client = harness.client();
});
afterAll(() => harness.stop());

it('says in /stats, metrics and times left that it has to load again', async () => {
  const { keys } = harness;
  const redis = harness.server.patient();
  const pack = await loadPack(tinyPack);
  const model = pack.manifest.id;
  const engine: Engine = startEngine(temporaryFolder());
  await engine.ready();
  const engineStatus = () => engine.status();
  const vitals = new Vitals({ device: 'cpu', model, engineStatus, cacheFolder: temporaryFolder() });
  const metrics = new WorkerMetrics({
    probe: new RedisProbe(harness.server.failFast(), keys),
    vitals,
    engineStatus,
  });
  const models = { models: [model], loaded: () => engine.status().loaded };
  const beat = new WorkerBeat(redis, keys, 'cpu', () => vitals.read(), models);
  const generate = engineGenerate(engine, [pack], false);
  const worker = new JobWorker(
    redis,
    harness.artifacts,
    generate,
    log,
    { device: 'cpu', ...models },
    keys,
    beat,
  );
  await worker.start();
  // As the command does, from the load at its start.
  const loadMs = 123_456;
  await recordLoad(redis, keys, model, 'cpu', loadMs);

  const stats = () => queueStats(redis, keys, '2026-11-21');
  const said = async () => renderAdmin({ kind: 'stats', stats: await stats(), jobs: [] }, messagesFor('en'));
  const state = async (name: string): Promise<string | undefined> => {
    await metrics.refresh();
    const text = await metrics.registry.metrics();
    return new RegExp(`^kinora_engine_state\\{state="${name}"\\} (\\d)$`, 'm').exec(text)?.[1];
  };
  /** Of the next job. */
  const leftMs = async (): Promise<number> => {
    const kind = { preset: 'fast', model };
    const places = await client.timeLeft.forecast('test:ann', [kind]);
    return places.get(kindName(kind))?.leftMs ?? Number.NaN;
  };
  const make = async (id: string): Promise<void> => {
    await client.submit({ ...(await engineRequest(harness, id)), model });
    await eventually('the video', async () => (await client.ledger.read(`t-${id}`))?.state === 'generated');
    await eventually('the worker is idle', async () => (await stats()).workers.busy === 0);
  };

  await make('first');
  expect([await state('idle'), await state('unloaded')]).toEqual(['1', '0']);
  expect(await said()).not.toContain('unloaded');
  const loaded = await leftMs();

  engine.unload();
  expect([await state('idle'), await state('unloaded')]).toEqual(['0', '1']);
  await eventually('the beat tells of it', async () => (await stats()).workers.unloaded === 1);
  expect(await said()).toContain('Workers: 1 (0 busy, 1 unloaded)');
  expect(loaded).toBeGreaterThan(0);
  expect(await leftMs()).toBe(loaded + loadMs);

  await make('second');
  expect([await state('idle'), await state('unloaded')]).toEqual(['1', '0']);
  await eventually('the beat tells of it', async () => (await stats()).workers.unloaded === 0);
  expect(await leftMs()).toBeLessThan(loadMs);

  await worker.stop(0);
  vitals.stop();
  metrics.close();
});
