import { copyFileSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type ContinueOptions, continueVideo } from '../../src/video/continue.ts';
import { encodeVideo } from '../../src/video/encode.ts';
import { numFramesAfter, numFramesBefore } from '../../src/video/filters.ts';
import { fitToBytes, loopVideo, smoothVideo } from '../../src/video/transform.ts';
import {
  builds,
  decodeFrames,
  ffmpegPath,
  ffprobe,
  psnr,
  temporaryFolder,
  textureFrame,
} from '../helpers/video-fixture.ts';

const folder = temporaryFolder();
const [width, height, fps] = [192, 128, 24];
const plain = { loop: false, smooth: 1 } as const;
const file = (name: string): string => join(folder, name);

async function encode(name: string, first: number, count: number): Promise<void> {
  async function* frames() {
    for (let t = first; t < first + count; t++) yield { data: textureFrame(width, height, t) };
  }
  await encodeVideo(frames(), { width, height, fps, outPath: file(name), ffmpegPath });
}

beforeAll(async () => {
  await encode("it's first: 1.mp4", 0, 8);
  await encode('second.mp4', 8, 8);
  await encode('third.mp4', 16, 4);
});

function continued(over: Partial<ContinueOptions> = {}) {
  return continueVideo({
    earlier: { path: file("it's first: 1.mp4"), ...plain },
    addedPath: file('second.mp4'),
    outPath: file('out.mp4'),
    ffmpegPath,
    ...plain,
    ...over,
  });
}

describe.each(builds)('with the ffmpeg of %s', (name, path) => {
  it('joins both without encoding anything again, any number of times', async () => {
    const outPath = file(`joined-${name}.mp4`);
    const metadata = { prompt: 'then pan right', seed: '3' };
    const options = { outPath, ffmpegPath: path, metadata };
    expect(await continued(options)).toMatchObject({ numFrames: 16, fps, durationSeconds: 16 / fps });
    const again = file(`again-${name}.mp4`);
    const earlier = { path: outPath, ...plain };
    await continued({ ...options, earlier, addedPath: file('third.mp4'), outPath: again });
    const { stream, format, times } = ffprobe(again);
    expect(stream).toMatchObject({
      nb_read_frames: 20,
      profile: 'High',
      color_space: 'bt709',
      start_time: 0,
    });
    expect(times).toEqual(Array.from({ length: 20 }, (_, i) => expect.closeTo(i / fps, 5)));
    expect(format.tags?.['title']).toBe('then pan right');
    const alone = ["it's first: 1.mp4", 'second.mp4', 'third.mp4'].flatMap((part) =>
      decodeFrames(file(part), width, height),
    );
    const whole = decodeFrames(again, width, height);
    expect(whole.length).toBe(20);
    for (const [i, frame] of whole.entries()) {
      expect(psnr(frame, alone[i]), `frame ${i}`).toBe(Number.POSITIVE_INFINITY);
    }
  });

  it('takes the frames out of a looped and smoothed video, and loops and smooths the whole', async () => {
    const [smoothed, looped] = [file(`smoothed-${name}.mp4`), file(`looped-${name}.mp4`)];
    await smoothVideo(file("it's first: 1.mp4"), smoothed, 3, { ffmpegPath });
    await loopVideo(smoothed, looped, { ffmpegPath });
    const earlier = { path: looped, loop: true, smooth: 3 } as const;
    const flat = file(`flat-${name}.mp4`);
    expect(await continued({ earlier, ffmpegPath: path, outPath: flat })).toMatchObject({
      numFrames: 16,
      fps,
    });
    for (const [i, frame] of decodeFrames(flat, width, height).entries()) {
      expect(psnr(frame, textureFrame(width, height, i)), `frame ${i}`).toBeGreaterThan(30);
    }
    const outPath = file(`whole-${name}.mp4`);
    const wanted = { loop: true, smooth: 2 } as const;
    const result = await continued({ ...wanted, ffmpegPath: path, outPath });
    expect(result).toMatchObject({ numFrames: 60, fps: 48 });
    expect(ffprobe(outPath).times).toEqual(Array.from({ length: 60 }, (_, i) => expect.closeTo(i / 48, 5)));
  });
});

it('brings a video that was made smaller back to the size of the new frames', async () => {
  const small = file('small.mp4');
  await fitToBytes(file("it's first: 1.mp4"), small, 4800, { ffmpegPath });
  const earlier = { path: small, ...plain };
  expect(await continued({ earlier })).toMatchObject({ numFrames: 16, width, height });
});

it('keeps within a byte budget', async () => {
  const result = await continued({ maxBytes: 9_000 });
  expect(result.bytes).toBeLessThanOrEqual(9_000);
  expect(result.fitted).toBeDefined();
});

it('says that the earlier video is gone, and leaves nothing', async () => {
  const earlier = { path: file('gone.mp4'), ...plain };
  const outPath = file('never.mp4');
  await expect(continued({ earlier, outPath })).rejects.toMatchObject({ code: 'VIDEO_NOT_FOUND' });
  expect(existsSync(outPath)).toBe(false);
  copyFileSync(file('second.mp4'), outPath);
  expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
});

it('counts the frames before a loop and smoothing', () => {
  for (const smooth of [1, 2, 3] as const) {
    for (const loop of [false, true]) {
      for (const count of [1, 2, 3, 8, 72]) {
        const after = numFramesAfter(count, { smooth, loop });
        expect(numFramesBefore(after, { smooth, loop }), `${count} ${smooth} ${loop}`).toBe(count);
      }
    }
  }
});
