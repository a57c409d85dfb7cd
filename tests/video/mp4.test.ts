import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { isKinoraError } from '../../src/errors.ts';
import { encodeVideo } from '../../src/video/encode.ts';
import { readMp4Info } from '../../src/video/mp4.ts';
import { ffmpegPath, ffprobe, temporaryFolder, texture } from '../helpers/video-fixture.ts';

const folder = temporaryFolder();

async function example() {
  const path = join(folder, 'clip.mp4');
  await encodeVideo(texture(7, 64, 48), { width: 64, height: 48, fps: 29.97, outPath: path, ffmpegPath });
  return path;
}

it('reads what ffprobe reads', async () => {
  const path = await example();
  const { stream } = ffprobe(path);
  const info = await readMp4Info(path);
  expect(info).toMatchObject({ width: 64, height: 48, numFrames: 7, isFastStart: true, comment: '' });
  expect(info.frameRate.join('/')).toBe(stream.avg_frame_rate);
  expect(info.durationSeconds).toBeCloseTo(stream.duration, 5);
});

it('refuses every cut and every damage with a code, or reads on', async () => {
  const file = readFileSync(await example());
  const path = join(folder, 'damaged.mp4');
  for (let length = 0; length < file.length; length += 53) {
    writeFileSync(path, file.subarray(0, length));
    await expect(readMp4Info(path), `${length} bytes`).rejects.toMatchObject({ code: 'ENCODE_FAILED' });
  }
  let state = 7;
  const random = (below: number) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
  let refused = 0;
  for (let i = 0; i < 400; i++) {
    const mutant = Buffer.from(file);
    for (let k = 0; k <= random(4); k++) mutant[random(1200)] = random(256);
    writeFileSync(path, mutant);
    try {
      const info = await readMp4Info(path);
      expect(info.numFrames).toBeGreaterThan(0);
      expect(info.durationSeconds).toBeGreaterThan(0);
    } catch (error) {
      if (!isKinoraError(error)) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(50);
});
