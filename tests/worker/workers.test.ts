import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Engine } from '../../src/engine/supervisor.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import type { JobClient } from '../../src/queue/client.ts';
import { mostPassedOver } from '../../src/queue/ledger.ts';
import { findFfmpeg } from '../../src/video/ffmpeg-path.ts';
import { readMp4Info } from '../../src/video/mp4.ts';
import { engineGenerate } from '../../src/worker/generate.ts';
import { engineRequest } from '../chaos/worker-handle.ts';
import { svdPackPath, tinyPackPath } from '../helpers/golden.ts';
import { filesOf } from '../helpers/job-files.ts';
import { eventually, Harness } from '../helpers/queue-harness.ts';

let harness: Harness;
const engines: Engine[] = [];
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(async () => {
  await harness.stop();
  for (const engine of engines.splice(0)) await engine.stop();
});

async function startEngine(packPath = tinyPackPath, otherPackPaths: readonly string[] = []): Promise<Engine> {
  const { path: ffmpegPath } = await findFfmpeg();
  const engine = Engine.start({
    packPath,
    otherPackPaths,
    device: 'cpu',
    threads: 1,
    cachePath: join(harness.folder, 'cache'),
    cacheMemoryBytes: 1e8,
    cacheDiskBytes: 1e8,
    ffmpegPath,
  });
  engines.push(engine);
  return engine;
}

describe('three workers on one Redis', () => {
  it('share the queue: every job once, with real engines', async () => {
    const client = harness.client();
    await harness.delivery();
    const pack = await loadPack(tinyPackPath);
    const used = new Set<string>();
    for (const name of ['a', 'b', 'c']) {
      const generate = engineGenerate(await startEngine(), [pack], true);
      await harness.worker(async (entry, files, hooks) => {
        used.add(name);
        return await generate(entry, files, hooks);
      });
    }
    for (let i = 0; i < 12; i++)
      await client.submit(await engineRequest(harness, `j${i}`, `test:p${i % 3}`, { seed: i }));
    await eventually('twelve videos', () => harness.posted.length === 12);
    expect(new Set(harness.posted.map((posted) => posted.jobId)).size).toBe(12);
    expect(harness.posted.every((posted) => posted.kind === 'video')).toBe(true);
    expect(used.size).toBe(3);
    const entry = await client.ledger.read('t-j5');
    expect(entry?.artifact).toMatchObject({ numFrames: 4, seed: 5, model: 'tiny-i2vgen-xl' });
    expect(await readMp4Info(filesOf(harness.artifacts, 't-j5').video)).toMatchObject({ numFrames: 4 });
  });
});

describe('two families of models', () => {
  const families = { i2vgen: tinyPackPath, svd: svdPackPath };
  const ids = { i2vgen: 'tiny-i2vgen-xl', svd: 'tiny-svd' };
  /** Each of another person, turn and turn about. */
  const submitAll = async (client: JobClient, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const request = await engineRequest(harness, `j${i}`, `test:p${i}`, { seed: i });
      const model = i % 2 === 0 ? ids.i2vgen : ids.svd;
      await client.submit({ ...request, model });
    }
  };
  const models = async (count: number) =>
    await Promise.all(
      Array.from({ length: count }, async (_, i) => {
        const entry = await harness.client().ledger.read(`t-j${i}`);
        return [entry?.artifact?.model, entry?.artifact?.numFrames];
      }),
    );

  it('in one worker take turns: few changes, and nobody is passed over for long', async () => {
    const packs = await Promise.all([families.i2vgen, families.svd].map((folder) => loadPack(folder)));
    const engine = await startEngine(families.i2vgen, [families.svd]);
    await engine.ready();
    const generate = engineGenerate(engine, packs, true);
    const order: string[] = [];
    const served: string[] = [];
    // As where memory has room for one of them: the latest is loaded.
    const loaded = (): readonly string[] => order.slice(-1);
    const client = harness.client();
    await harness.delivery();
    await submitAll(client, 8);
    await harness.worker(
      async (entry, files, hooks) => {
        order.push(entry.model ?? '');
        served.push(entry.id);
        return await generate(entry, files, hooks);
      },
      { models: [ids.i2vgen, ids.svd], loaded },
    );
    await eventually('eight videos', () => harness.posted.length === 8);
    expect(harness.posted.every(({ kind }) => kind === 'video')).toBe(true);
    expect(await models(8)).toEqual(
      Array.from({ length: 8 }, (_, i) => [i % 2 === 0 ? ids.i2vgen : ids.svd, 4]),
    );
    const changes = order.filter((model, n) => n > 0 && model !== order[n - 1]).length;
    expect(changes).toBeLessThanOrEqual(4); // 7 by the fair order alone
    const fair = Array.from({ length: 8 }, (_, i) => `t-j${i}`);
    for (const [i, id] of fair.entries()) {
      const before = served.slice(0, served.indexOf(id));
      expect(before.filter((other) => fair.indexOf(other) > i).length).toBeLessThanOrEqual(mostPassedOver);
    }
    expect(engine.status().starts).toBe(1);
  });
});
