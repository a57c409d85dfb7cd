import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeVideo } from '../../src/video/encode.ts';
import { fitToBytes, loopVideo, smoothVideo } from '../../src/video/transform.ts';
import {
  builds,
  decodeFrames,
  ffmpegPath,
  ffprobe,
  psnr,
  temporaryFolder,
  texture,
  textureFrame,
} from '../helpers/video-fixture.ts';

const folder = temporaryFolder();
const metadata = { prompt: 'waves', seed: '12' };
const sourcePath = join(folder, 'source.mp4');

beforeAll(async () => {
  await encodeVideo(texture(8, 192, 128), {
    ...{ width: 192, height: 128, fps: 8, metadata },
    outPath: sourcePath,
    ffmpegPath,
  });
});

describe.each(builds)('with the ffmpeg of %s', (name, path) => {
  const options = { ffmpegPath: path };

  it('loops a finished video', async () => {
    const outPath = join(folder, `loop-${name}.mp4`);
    const result = await loopVideo(sourcePath, outPath, options);
    expect(result).toMatchObject({ numFrames: 14, fps: 8, durationSeconds: 1.75, width: 192, height: 128 });
    const { stream, format, times } = ffprobe(outPath);
    expect(stream).toMatchObject({
      nb_read_frames: 14,
      profile: 'High',
      color_space: 'bt709',
      color_range: 'tv',
    });
    expect(times).toEqual(Array.from({ length: 14 }, (_, i) => i / 8));
    expect(JSON.parse(format.tags?.['comment'] ?? '')).toEqual(metadata);
    const decoded = decodeFrames(outPath, 192, 128);
    for (const [i, t] of [0, 1, 2, 3, 4, 5, 6, 7, 6, 5, 4, 3, 2, 1].entries()) {
      expect(psnr(decoded[i], textureFrame(192, 128, t)), `frame ${i}`).toBeGreaterThan(35);
    }
  });

  it.each([2, 3] as const)('smooths a finished video by %i', async (factor) => {
    const outPath = join(folder, `smooth-${factor}-${name}.mp4`);
    const result = await smoothVideo(sourcePath, outPath, factor, options);
    expect(result).toMatchObject({ numFrames: 7 * factor + 1, fps: 8 * factor });
    const { stream, format } = ffprobe(outPath);
    expect(stream).toMatchObject({ nb_read_frames: 7 * factor + 1, r_frame_rate: `${8 * factor}/1` });
    expect(format.tags?.['title']).toBe('waves');
    const decoded = decodeFrames(outPath, 192, 128);
    for (const [i, frame] of decoded.entries()) {
      expect(psnr(frame, textureFrame(192, 128, i / factor)), `frame ${i}`).toBeGreaterThan(30);
    }
    expect(psnr(decoded[0], textureFrame(192, 128, 0))).toBeGreaterThan(35);
    expect(psnr(decoded.at(-1), textureFrame(192, 128, 7))).toBeGreaterThan(35);
  });

  it('does both, one after the other, within a budget', async () => {
    const smooth = join(folder, `smooth-${name}.mp4`);
    const outPath = join(folder, `both-${name}.mp4`);
    await smoothVideo(sourcePath, smooth, 3, options);
    const { bytes } = await loopVideo(smooth, join(folder, `free-${name}.mp4`), options);
    const result = await loopVideo(smooth, outPath, { ...options, maxBytes: Math.round(bytes * 0.6) });
    expect(result).toMatchObject({ numFrames: 42, fps: 24, durationSeconds: 1.75 });
    expect(result.fitted?.crf).toBeGreaterThan(17);
    expect(statSync(outPath).size).toBeLessThanOrEqual(bytes * 0.6);
  });

  it('fits a finished video to a budget', async () => {
    const outPath = join(folder, `fit-${name}.mp4`);
    const maxBytes = Math.round(statSync(sourcePath).size * 0.8);
    const result = await fitToBytes(sourcePath, outPath, maxBytes, options);
    expect(statSync(outPath).size).toBe(result.bytes);
    expect(result.bytes).toBeLessThanOrEqual(maxBytes);
    expect(result).toMatchObject({ numFrames: 8, fps: 8, fitted: { crf: expect.any(Number) } });
    expect(ffprobe(outPath).stream).toMatchObject({
      nb_read_frames: 8,
      profile: 'High',
      color_space: 'bt709',
    });
  });
});

it('copies what fits already', async () => {
  const outPath = join(folder, 'copy.mp4');
  const result = await fitToBytes(sourcePath, outPath, 1_000_000, { ffmpegPath });
  expect(readFileSync(outPath)).toEqual(readFileSync(sourcePath));
  expect(result).not.toHaveProperty('fitted');
});

it('may write over its source', async () => {
  const path = join(folder, 'in-place.mp4');
  writeFileSync(path, readFileSync(sourcePath));
  await expect(loopVideo(path, path, { ffmpegPath })).resolves.toMatchObject({ numFrames: 14 });
  expect(ffprobe(path).stream.nb_read_frames).toBe(14);
});

it.each([
  ['a text', () => Buffer.from('hello')],
  ['an empty file', () => Buffer.alloc(0)],
  ['half a video', () => readFileSync(sourcePath).subarray(0, 3000)],
])('refuses %s as source', async (_name, content) => {
  const path = join(folder, 'broken.mp4');
  writeFileSync(path, content());
  await expect(smoothVideo(path, join(folder, 'never.mp4'), 2, { ffmpegPath })).rejects.toMatchObject({
    code: 'ENCODE_FAILED',
    message: expect.stringMatching(/^The file is not a complete MP4: /),
  });
  expect(readdirSync(folder).filter((name) => name.includes('never'))).toEqual([]);
});

it('refuses a source that is gone, and one that ends in damaged pictures', async () => {
  await expect(
    loopVideo(join(folder, 'none.mp4'), join(folder, 'never.mp4'), { ffmpegPath }),
  ).rejects.toMatchObject({
    code: 'VIDEO_NOT_FOUND',
  });
  const path = join(folder, 'cut.mp4');
  writeFileSync(path, readFileSync(sourcePath));
  truncateSync(path, statSync(sourcePath).size - 500);
  await expect(loopVideo(path, join(folder, 'never.mp4'), { ffmpegPath })).rejects.toMatchObject({
    code: 'ENCODE_FAILED',
  });
  expect(readdirSync(folder).filter((name) => name.includes('never'))).toEqual([]);
});
