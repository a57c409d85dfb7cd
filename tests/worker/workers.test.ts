import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Engine } from '../../src/engine/supervisor.ts';
import { loadPack } from '../../src/inference/packs/files.ts';
import { findFfmpeg } from '../../src/video/ffmpeg-path.ts';
import { readMp4Info } from '../../src/video/mp4.ts';
import { engineGenerate } from '../../src/worker/generate.ts';
import { engineRequest } from '../chaos/worker-handle.ts';
import { tinyPackPath } from '../helpers/golden.ts';
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

async function startEngine(): Promise<Engine> {
  const { path: ffmpegPath } = await findFfmpeg();
  const engine = Engine.start({
    packPath: tinyPackPath,
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
