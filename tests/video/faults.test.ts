/** Every way in which writing a video can go wrong ends in a coded error, no file and no process. */
import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type EncodeOptions, encodeVideo } from '../../src/video/encode.ts';
import { smoothVideo } from '../../src/video/transform.ts';
import {
  builds,
  ffmpegPath,
  ffmpegPidIn,
  processesOf,
  type RawFrame,
  temporaryFolder,
  texture,
  textureFrame,
  until,
} from '../helpers/video-fixture.ts';

/** Frames larger than a pipe's buffer, so that a stopped ffmpeg is felt at once. */
const size = { width: 256, height: 256, fps: 8 };
const root = temporaryFolder();
let tests = 0;
let folder = '';
let outPath = '';

beforeEach(() => {
  folder = join(root, `test-${tests++}`);
  mkdirSync(folder);
  outPath = join(folder, 'clip.mp4');
});

afterEach(async () => {
  // SIGKILL takes a moment to show in /proc.
  await until(() => processesOf(folder).length === 0);
});

function encode(frames: AsyncIterable<RawFrame>, options: Partial<EncodeOptions> = {}) {
  return encodeVideo(frames, { ...size, outPath, ffmpegPath, ...options });
}

/** Frames, and what became of their generator: how many were taken, and whether it was told to stop. */
function watched(count: number, onFrame: (t: number) => Promise<void> | void = () => {}) {
  const state = { taken: 0, stopped: false };
  async function* frames() {
    try {
      for (let t = 0; t < count; t++) {
        await onFrame(t);
        state.taken++;
        yield { data: textureFrame(size.width, size.height, t) };
      }
    } finally {
      state.stopped = true;
    }
  }
  return { state, frames: frames() };
}

function script(name: string, body: string): string {
  const path = join(root, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

describe.each(builds)('with the ffmpeg of %s', (_name, path) => {
  it('an abort in the middle', async () => {
    const controller = new AbortController();
    const { state, frames } = watched(1000, async (t) => {
      if (t === 4) {
        await ffmpegPidIn(folder);
        controller.abort();
      }
    });
    const encoding = encode(frames, { ffmpegPath: path, signal: controller.signal, smooth: 3, loop: true });
    await expect(encoding).rejects.toMatchObject({ code: 'CANCELLED' });
    await until(() => state.stopped);
    expect(state.taken).toBeLessThan(7);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('ffmpeg killed in the middle', async () => {
    const { state, frames } = watched(1000, async (t) => {
      if (t === 3) process.kill(await ffmpegPidIn(folder), 'SIGKILL');
    });
    await expect(encode(frames, { ffmpegPath: path })).rejects.toMatchObject({
      code: 'ENCODE_FAILED',
      message: 'ffmpeg was killed by SIGKILL.',
    });
    await until(() => state.stopped);
    expect(state.taken).toBeLessThan(7);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('ffmpeg hung while it takes frames', async () => {
    const { state, frames } = watched(1000, async (t) => {
      if (t === 3) process.kill(await ffmpegPidIn(folder), 'SIGSTOP');
    });
    const encoding = encode(frames, { ffmpegPath: path, deadlineMs: 400 });
    await expect(encoding).rejects.toMatchObject({
      code: 'ENCODE_FAILED',
      message: 'ffmpeg made no progress for 0.4 s and was stopped.',
    });
    expect(state.stopped).toBe(true);
    // The one that filled the pipe, and no other.
    expect(state.taken).toBeLessThanOrEqual(5);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('ffmpeg hung after the last frame', async () => {
    const { frames } = watched(4, async (t) => {
      if (t === 3) process.kill(await ffmpegPidIn(folder), 'SIGSTOP');
    });
    const tiny = { width: 16, height: 16 };
    async function* small() {
      for await (const { data } of frames) yield { data: data.subarray(0, 16 * 16 * 3) };
    }
    await expect(encode(small(), { ...tiny, ffmpegPath: path, deadlineMs: 400 })).rejects.toMatchObject({
      code: 'ENCODE_FAILED',
      message: 'ffmpeg made no progress for 0.4 s and was stopped.',
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('a full disk', async () => {
    // Every write to /dev/full says that no space is left; only the link to it is removed.
    const tempPath = join(folder, '.temporary');
    symlinkSync('/dev/full', tempPath);
    await expect(encode(texture(16, 256, 256), { ffmpegPath: path, tempPath })).rejects.toMatchObject({
      code: 'DISK_FULL',
      message: 'There is no space left to write clip.mp4.',
    });
    expect(readdirSync(folder)).toEqual([]);
  });
});

it('a signal that is aborted already: no frame is taken, no process started', async () => {
  const { state, frames } = watched(3);
  await expect(encode(frames, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'CANCELLED' });
  expect(state.taken).toBeLessThanOrEqual(1);
  expect(readdirSync(folder)).toEqual([]);
});

it.each([0, 1, 3])('an abort while the source hangs before frame %i', async (hangsAt) => {
  const controller = new AbortController();
  const { frames } = watched(5, (t) => {
    if (t < hangsAt) return;
    setTimeout(() => controller.abort(), 50);
    return new Promise<void>(() => {});
  });
  await expect(encode(frames, { signal: controller.signal })).rejects.toMatchObject({ code: 'CANCELLED' });
  expect(readdirSync(folder)).toEqual([]);
});

it('an abort while a finished file is smoothed', async () => {
  const source = join(root, 'source.mp4');
  await encode(texture(16, 256, 256), { outPath: source });
  const controller = new AbortController();
  const smoothing = smoothVideo(source, outPath, 3, { ffmpegPath, signal: controller.signal });
  void ffmpegPidIn(folder).then(() => controller.abort());
  await expect(smoothing).rejects.toMatchObject({ code: 'CANCELLED' });
  expect(readdirSync(folder)).toEqual([]);
});

it('a slow source is no hung ffmpeg', async () => {
  const { frames } = watched(3, () => new Promise((resolve) => setTimeout(resolve, 300)));
  await expect(encode(frames, { deadlineMs: 250 })).resolves.toMatchObject({ numFrames: 3 });
});

it.each([0, 3])('a source that throws before frame %i: its own error comes through', async (throwsAt) => {
  const failure = Object.assign(new Error('out of memory'), { code: 'OUT_OF_MEMORY' });
  const { frames } = watched(5, (t) => {
    if (t === throwsAt) throw failure;
  });
  await expect(encode(frames)).rejects.toBe(failure);
  expect(readdirSync(folder)).toEqual([]);
});

it('a stream that is destroyed without an error', async () => {
  const stream = new Readable({ objectMode: true, read() {} });
  stream.push({ data: textureFrame(256, 256, 0) });
  stream.push({ data: textureFrame(256, 256, 1) });
  void ffmpegPidIn(folder).then(() => stream.destroy());
  await expect(encode(stream)).rejects.toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
  expect(readdirSync(folder)).toEqual([]);
});

it('no frames at all', async () => {
  await expect(encode(texture(0, 256, 256))).rejects.toMatchObject({
    code: 'ENCODE_FAILED',
    message: 'There were no frames to encode.',
  });
  expect(readdirSync(folder)).toEqual([]);
});

it.each([3, 5])('%i frames where 4 were promised', async (count) => {
  await expect(encode(texture(count, 256, 256), { numFrames: 4 })).rejects.toMatchObject({
    code: 'ENCODE_FAILED',
    message: `${count} of 4 frames arrived.`,
  });
  expect(readdirSync(folder)).toEqual([]);
});

it('a frame of the wrong size', async () => {
  async function* frames() {
    yield* texture(2, 256, 256);
    yield* texture(1, 256, 255);
  }
  await expect(encode(frames())).rejects.toMatchObject({
    code: 'INTERNAL',
    message: 'Frame 2 has 195840 bytes instead of 196608.',
  });
  expect(readdirSync(folder)).toEqual([]);
});

it('ffmpeg is gone, or is no program', async () => {
  const { state, frames } = watched(3);
  await expect(encode(frames, { ffmpegPath: join(folder, 'ffmpeg') })).rejects.toMatchObject({
    code: 'FFMPEG_MISSING',
    message: 'ffmpeg cannot be started (ENOENT).',
  });
  expect(state.stopped).toBe(true);
  writeFileSync(join(root, 'text'), 'hello');
  await expect(encode(texture(2, 256, 256), { ffmpegPath: join(root, 'text') })).rejects.toMatchObject({
    code: 'FFMPEG_MISSING',
    message: 'ffmpeg cannot be started (EACCES).',
  });
  expect(readdirSync(folder)).toEqual([]);
});

it('an ffmpeg that fails: its last line, without the machine’s paths', async () => {
  const path = script(
    'ffmpeg-fails',
    'echo "file:/x" >&2; for a; do t=$a; done; echo "[x @ 0x55d] $t: bad thing" >&2; echo "Conversion failed!" >&2; exit 3',
  );
  await expect(encode(texture(9, 256, 256), { ffmpegPath: path })).rejects.toMatchObject({
    code: 'ENCODE_FAILED',
    message: 'ffmpeg failed with exit code 3 ([x] clip.mp4: bad thing).',
  });
  expect(readdirSync(folder)).toEqual([]);
});

it.each([
  ['takes nothing and is content', 'exit 0', 'ENCODE_FAILED'],
  ['writes nothing', 'cat >/dev/null; exit 0', 'ENCODE_FAILED'],
  [
    'writes half a file',
    'cat >/dev/null; for a; do t=$a; done; printf "\\0\\0\\0\\10ftypmoov" > "$(echo "$t" | cut -c6-)"; exit 0',
    'ENCODE_FAILED',
  ],
  [
    'finds the disk full at the very end, with exit code 0',
    'cat >/dev/null; echo "Unable to re-open: No space left on device" >&2; exit 0',
    'DISK_FULL',
  ],
  ['may not write', 'cat >/dev/null; echo "x.mp4: Permission denied" >&2; exit 1', 'OUTPUT_UNWRITABLE'],
])('an ffmpeg that %s', async (name, body, code) => {
  const path = script(`ffmpeg-${name.replace(/\W/g, '-')}`, body);
  await expect(encode(texture(9, 256, 256), { ffmpegPath: path })).rejects.toMatchObject({ code });
  expect(readdirSync(folder)).toEqual([]);
});

it('a wrapper script: what it started dies with it', async () => {
  const path = script('ffmpeg-wrapped', `'${ffmpegPath}' "$@"; exit $?`);
  const { frames } = watched(1000, async (t) => {
    if (t === 3) process.kill(await ffmpegPidIn(folder), 'SIGSTOP');
  });
  await expect(encode(frames, { ffmpegPath: path, deadlineMs: 400 })).rejects.toMatchObject({
    code: 'ENCODE_FAILED',
  });
  await until(() => processesOf(folder).length === 0);
});

it.each([
  ['in a folder that does not exist', () => join(folder, 'none', 'clip.mp4'), 'its folder does not exist'],
  ['under a file', () => join(root, 'a-file', 'clip.mp4'), 'its folder is a file'],
  ['where a folder is', () => join(root, 'a-folder'), 'a folder has that name'],
  ['with an endless name', () => join(folder, `${'x'.repeat(300)}.mp4`), 'the name is too long'],
  ['in a circle of links', () => join(root, 'circle', 'clip.mp4'), 'its folder is a circle of links'],
])('an output %s', async (_name, path, reason) => {
  writeFileSync(join(root, 'a-file'), '');
  mkdirSync(join(root, 'a-folder'), { recursive: true });
  if (!readdirSync(root).includes('circle')) symlinkSync('circle', join(root, 'circle'));
  const { state, frames } = watched(3);
  await expect(encode(frames, { outPath: path() })).rejects.toMatchObject({
    code: 'OUTPUT_UNWRITABLE',
    message: expect.stringContaining(reason),
  });
  // Said before any frame was made.
  expect(state.taken).toBe(0);
  expect(readdirSync(folder)).toEqual([]);
});

it('an output in a folder of the kernel, which not even root may write to', async () => {
  await expect(encode(texture(2, 256, 256), { outPath: '/sys/clip.mp4' })).rejects.toMatchObject({
    code: 'OUTPUT_UNWRITABLE',
  });
});

it('a thumbnail that cannot be written: no video either', async () => {
  const { state, frames } = watched(3);
  const thumbnailPath = join(folder, 'none', 'clip.jpg');
  await expect(encode(frames, { thumbnailPath })).rejects.toMatchObject({ code: 'OUTPUT_UNWRITABLE' });
  expect(state.taken).toBe(0);
  expect(readdirSync(folder)).toEqual([]);
});

it('a failure leaves an older file of that name as it was', async () => {
  await encode(texture(2, 256, 256));
  const { frames } = watched(5, (t) => {
    if (t === 3) throw new Error('stop');
  });
  await expect(encode(frames)).rejects.toThrow('stop');
  expect(readdirSync(folder)).toEqual(['clip.mp4']);
});
