/** The engine at work: real children, the tiny pack, real ffmpeg. */
import { execFileSync } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ffprobeInstaller from '@ffprobe-installer/ffprobe';
import { describe, expect, it } from 'vitest';
import type { ProgressEvent } from '../../src/inference/image-to-video.ts';
import {
  ffmpegPath,
  filesIn,
  once,
  picture,
  quickJob,
  sharedEngine,
  slowJob,
  startEngine,
  temporaryFolder,
} from '../helpers/engine-fixture.ts';

function probe(file: string): Record<string, unknown> {
  const text = execFileSync(
    ffprobeInstaller.path,
    [
      '-v',
      'error',
      '-count_frames',
      '-show_entries',
      'stream=codec_name,width,height,nb_read_frames,r_frame_rate',
      '-of',
      'json',
      file,
    ],
    { encoding: 'utf8' },
  );
  return JSON.parse(text).streams[0];
}

describe('engine', () => {
  const shared = sharedEngine();

  it('makes an MP4 and a thumbnail, and says how', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder);
    const events: ProgressEvent[] = [];
    const thumbnailPath = path.join(folder, 'quick.jpg');
    const result = await engine.run(quickJob(folder, { thumbnailPath, seed: 7 }), {
      onProgress: (event) => events.push(event),
    });

    expect(result).toMatchObject({
      jobId: 'quick',
      outPath: path.join(folder, 'quick.mp4'),
      width: 64,
      height: 64,
      numFrames: 4,
      fps: 8,
      durationSeconds: 0.5,
      seed: 7,
      model: 'tiny-i2vgen-xl',
      device: 'cpu',
    });
    expect(result.videoId).not.toBe('');
    expect(result.bytes).toBe(readFileSync(result.outPath).length);
    expect(result.timings['total']).toBeGreaterThan(0);
    expect(probe(result.outPath)).toMatchObject({
      codec_name: 'h264',
      width: 64,
      height: 64,
      nb_read_frames: '4',
    });
    expect(readFileSync(thumbnailPath).subarray(0, 2)).toEqual(Buffer.from([0xff, 0xd8]));
    expect(filesIn(folder)).toEqual(['quick.jpg', 'quick.mp4']);

    // A sign of life per step and per chunk, and the phases in order.
    expect(events[0]).toEqual({ phase: 'loading', done: 0, total: 1 });
    const denoised = events.filter(({ phase }) => phase === 'denoising').map(({ done }) => done);
    expect(denoised).toEqual(expect.arrayContaining([1, 2]));
    const decoded = events.filter(({ phase }) => phase === 'decoding');
    expect(decoded.length).toBeGreaterThanOrEqual(2);
    const order = ['loading', 'encoding', 'denoising', 'decoding', 'finishing'];
    expect([...new Set(events.map(({ phase }) => phase))]).toEqual(order);
  });

  it('stays warm: the second job has the same child, no loading, and a cache that remembers', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder);
    const first = await engine.run(quickJob(folder));
    const pid = engine.status().pid;
    const phases: string[] = [];
    const second = await engine.run(quickJob(folder, { id: 'again' }), {
      onProgress: ({ phase }) => phases.push(phase),
    });
    expect(engine.status()).toMatchObject({ state: 'idle', pid, jobsServed: 2, starts: 1 });
    expect(engine.status().rssBytes).toBeGreaterThan(10 * 2 ** 20);
    expect(phases).not.toContain('loading');
    expect(first.cache.misses).toContain('image');
    expect(second.cache.hits).toContain('image');
    expect(first.timings['decodePicture']).toBeGreaterThan(0);
    expect(second.timings).not.toHaveProperty('decodePicture');
  });

  it('takes one job at a time, also while it loads', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder);
    const first = engine.run(quickJob(folder));
    const refused = { code: 'INTERNAL', message: 'The engine was given a job while it had another one.' };
    await expect(engine.run(quickJob(folder, { id: 'second' }))).rejects.toMatchObject(refused);
    await engine.ready();
    await expect(engine.run(quickJob(folder, { id: 'second' }))).rejects.toMatchObject(refused);
    await expect(first).resolves.toMatchObject({ jobId: 'quick' });
    for (const id of ['a', 'b', 'c']) {
      await engine.run(quickJob(folder, { id, outPath: path.join(folder, `${id}.mp4`) }));
    }
    expect(filesIn(folder)).toEqual(['a.mp4', 'b.mp4', 'c.mp4', 'quick.mp4']);
    expect(engine.status()).toMatchObject({ jobsServed: 4, starts: 1 });
  });

  it('takes relative paths and any job id', async () => {
    const folder = temporaryFolder();
    const engine = shared();
    const relative = (file: string) => path.relative(process.cwd(), file);
    const result = await engine.run(
      quickJob(folder, {
        id: '../../discord:1/"x" \u{1f408}',
        imagePath: relative(picture),
        outPath: relative(path.join(folder, 'relative.mp4')),
      }),
    );
    expect(result.outPath).toBe(path.join(folder, 'relative.mp4'));
    expect(filesIn(folder)).toEqual(['relative.mp4']);
  });

  it('hands frames to ffmpeg while later chunks are still to be decoded', async () => {
    const folder = temporaryFolder();
    const engine = shared();
    let grewBefore: boolean | undefined;
    // x264 writes nothing before its look-ahead is full, so a running ffmpeg is what can be seen from here.
    await engine.run(slowJob(folder, { numInferenceSteps: 1, decodeChunkSize: 1, guidanceScale: 1 }), {
      onProgress: once('decoding', 4, () => {
        grewBefore = filesIn(folder).some((name) => name.includes('kinora-'));
      }),
    });
    expect(grewBefore).toBe(true);
  });

  it.each([
    ['missing', 'nothing.jpg', null, 'IMAGE_NOT_FOUND'],
    ['not a picture', 'text.jpg', 'no picture at all', 'IMAGE_UNSUPPORTED'],
    ['cut off', 'cut.jpg', readFileSync(picture).subarray(0, 3000), 'IMAGE_UNREADABLE'],
  ])('refuses a picture that is %s and stays warm', async (_what, name, content, code) => {
    const folder = temporaryFolder();
    const imagePath = path.join(folder, name);
    if (content !== null) writeFileSync(imagePath, content);
    const before = filesIn(folder);
    const engine = shared();
    const { pid } = engine.status();
    const detail = code === 'IMAGE_UNSUPPORTED' ? { detail: { kind: 'pictureFormat' } } : {};
    await expect(engine.run(quickJob(folder, { imagePath }))).rejects.toMatchObject({ code, ...detail });
    expect(filesIn(folder)).toEqual(before);
    await engine.run(quickJob(folder));
    expect(engine.status().pid).toBe(pid);
  });

  it('refuses an output that cannot be written before it starts to work', async () => {
    const folder = temporaryFolder();
    const engine = shared();
    const phases: string[] = [];
    const job = slowJob(folder, { outPath: path.join(folder, 'no such folder', 'out.mp4') });
    await expect(engine.run(job, { onProgress: ({ phase }) => phases.push(phase) })).rejects.toMatchObject({
      code: 'OUTPUT_UNWRITABLE',
    });
    expect(phases).not.toContain('denoising');
    expect(filesIn(folder)).toEqual([]);
  });

  it('reports a missing ffmpeg, and the same child serves on', async () => {
    const folder = temporaryFolder();
    const script = path.join(folder, 'ffmpeg link');
    const engine = startEngine(folder, {}, { ffmpegPath: script });
    await expect(engine.run(quickJob(folder))).rejects.toMatchObject({ code: 'FFMPEG_MISSING' });
    expect(filesIn(folder)).toEqual([]);
    const { pid } = engine.status();
    writeFileSync(script, `#!/bin/sh\nexec '${ffmpegPath}' "$@"\n`);
    chmodSync(script, 0o755);
    await engine.run(quickJob(folder));
    expect(engine.status().pid).toBe(pid);
    expect(filesIn(folder)).toEqual(['ffmpeg link', 'quick.mp4']);
  });

  it('says which pack is not there, without trying again', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder, {}, { packPath: path.join(folder, 'no pack') });
    await expect(engine.run(quickJob(folder))).rejects.toMatchObject({ code: 'PACK_NOT_FOUND' });
    expect(engine.status()).toMatchObject({
      state: 'dead',
      pid: null,
      starts: 1,
      error: { code: 'PACK_NOT_FOUND' },
    });
    await expect(engine.ready()).rejects.toMatchObject({ code: 'PACK_NOT_FOUND' });
  });

  it('replaces the child after so many jobs, between jobs', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder, { maxJobsPerChild: 2 });
    const pids: (number | null)[] = [];
    for (const id of ['a', 'b', 'c']) {
      await engine.run(quickJob(folder, { id }), {
        onProgress: once('denoising', 1, () => pids.push(engine.status().pid)),
      });
    }
    expect(pids[0]).toBe(pids[1]);
    expect(pids[2]).not.toBe(pids[0]);
    expect(engine.status()).toMatchObject({ starts: 2, jobsServed: 1 });
  });

  it('replaces a child that has grown too large', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder, { maxRssGrowthBytes: 20 * 2 ** 20 }, { cacheMemoryBytes: 2 ** 20 });
    await engine.run(quickJob(folder));
    const { pid } = engine.status();
    // Larger activations: the arena grows by more than the bound and is never given back.
    await engine.run(slowJob(folder, { numInferenceSteps: 1, width: 256, height: 256 }));
    await engine.run(quickJob(folder, { id: 'after' }));
    expect(engine.status()).toMatchObject({ starts: 2, jobsServed: 1 });
    expect(engine.status().pid).not.toBe(pid);
  });

  it('refuses everything after stop(), and stop() may be called twice', async () => {
    const folder = temporaryFolder();
    const engine = startEngine(folder);
    const jobs = [engine.run(slowJob(folder)), engine.ready()];
    const outcome = Promise.allSettled(jobs);
    await engine.ready();
    await Promise.all([engine.stop(), engine.stop()]);
    expect((await outcome).map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    await expect(jobs[0]).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(engine.run(quickJob(folder))).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(engine.status()).toMatchObject({ state: 'stopped', pid: null });
    expect(filesIn(folder)).toEqual([]);
  });

  it('leaves no listeners behind', async () => {
    const folder = temporaryFolder();
    const before = process.listenerCount('exit');
    const engine = startEngine(folder, { maxJobsPerChild: 1 });
    const controller = new AbortController();
    for (const id of ['a', 'b']) await engine.run(quickJob(folder, { id }), { signal: controller.signal });
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    expect(process.listenerCount('exit')).toBeLessThanOrEqual(before + 1);
    await engine.stop();
    expect(process.listenerCount('exit')).toBe(before);
  });
});
