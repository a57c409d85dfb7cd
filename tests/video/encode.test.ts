import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { type EncodeOptions, encodeVideo } from '../../src/video/encode.ts';
import { metadataOf } from '../../src/video/metadata.ts';
import { readMp4Info } from '../../src/video/mp4.ts';
import {
  builds,
  decodeFrames,
  ffmpegPath,
  ffprobe,
  processesOf,
  psnr,
  temporaryFolder,
  texture,
  textureFrame,
  topLevelBoxes,
  until,
} from '../helpers/video-fixture.ts';

const folder = temporaryFolder();
let files = 0;
const newPath = () => join(folder, `clip-${files++}.mp4`);
const small = { width: 128, height: 96, fps: 8 } satisfies Partial<EncodeOptions>;

describe.each(builds)('with the ffmpeg of %s', (_name, path) => {
  it('writes what every chat plays inline: H.264 High, yuv420p, bt709, square pixels, index first', async () => {
    const outPath = newPath();
    const result = await encodeVideo(texture(16, 256, 192), {
      ...{ width: 256, height: 192, fps: 8 },
      outPath,
      ffmpegPath: path,
    });

    const { stream, format, times } = ffprobe(outPath);
    expect(stream).toMatchObject({
      codec_name: 'h264',
      codec_type: 'video',
      profile: 'High',
      pix_fmt: 'yuv420p',
      width: 256,
      height: 192,
      sample_aspect_ratio: '1:1',
      color_range: 'tv',
      color_space: 'bt709',
      color_transfer: 'bt709',
      color_primaries: 'bt709',
      r_frame_rate: '8/1',
      avg_frame_rate: '8/1',
      start_time: 0,
      duration: 2,
      nb_frames: 16,
      nb_read_frames: 16,
    });
    expect(format.duration).toBeCloseTo(2, 2);
    expect(times).toEqual(Array.from({ length: 16 }, (_, i) => i / 8));
    const boxes = topLevelBoxes(outPath);
    expect(boxes.indexOf('moov')).toBeLessThan(boxes.indexOf('mdat'));
    expect(result).toEqual({
      bytes: statSync(outPath).size,
      width: 256,
      height: 192,
      numFrames: 16,
      fps: 8,
      durationSeconds: 2,
    });

    const decoded = decodeFrames(outPath, 256, 192);
    expect(decoded).toHaveLength(16);
    for (const [i, frame] of decoded.entries()) {
      expect(psnr(frame, textureFrame(256, 192, i)), `frame ${i}`).toBeGreaterThan(35);
    }
  });

  it('keeps colours within a few levels', async () => {
    const bars = [
      ...[0xffffff, 0xffff00, 0x00ffff, 0x00ff00, 0xff00ff, 0xff0000, 0x0000ff, 0x000000],
      ...[0x808080, 0xc08060, 0x204060, 0xe0c8b0, 0x101010, 0xf0f0f0, 0x8040c0, 0x30a050],
    ];
    const [width, height] = [bars.length * 16, 32];
    const data = new Uint8Array(width * height * 3);
    for (let i = 0; i < width * height; i++) {
      const colour = bars[(i % width) >> 4] ?? 0;
      data.set([colour >> 16, (colour >> 8) & 255, colour & 255], i * 3);
    }
    const outPath = newPath();
    await encodeVideo(repeat(data, 4), { width, height, fps: 8, outPath, ffmpegPath: path });

    for (const frame of decodeFrames(outPath, width, height)) {
      for (const [bar, colour] of bars.entries()) {
        const centre = (16 * width + bar * 16 + 8) * 3;
        const rgb = [...frame.subarray(centre, centre + 3)];
        const wanted = [colour >> 16, (colour >> 8) & 255, colour & 255];
        const worst = Math.max(...rgb.map((value, c) => Math.abs(value - (wanted[c] ?? 0))));
        expect(worst, `bar ${colour.toString(16)} became ${rgb}`).toBeLessThanOrEqual(4);
      }
    }
  });

  it.each([
    [1, 8, 0.125],
    [2, 8, 0.25],
    [3, 7.5, 0.4],
    [9, 25, 0.36],
    [30, 29.97, 1.001],
  ])('gives %i frames at %d fps the right duration', async (count, fps, seconds) => {
    const outPath = newPath();
    const result = await encodeVideo(texture(count, 64, 64), {
      ...{ width: 64, height: 64, fps },
      outPath,
      ffmpegPath: path,
    });
    const { stream } = ffprobe(outPath);
    expect(stream.nb_read_frames).toBe(count);
    expect(stream.duration).toBeCloseTo(seconds, 3);
    expect(result.durationSeconds).toBeCloseTo(seconds, 3);
    expect(result.fps).toBeCloseTo(fps, 3);
  });

  it.each([
    [127, 96],
    [128, 95],
    [33, 17],
    [2, 2],
    [3, 3],
  ])('cuts %ix%i to even sides without scaling', async (width, height) => {
    const outPath = newPath();
    const result = await encodeVideo(texture(2, width, height), {
      ...{ width, height, fps: 8 },
      outPath,
      ffmpegPath: path,
    });
    const [evenWidth, evenHeight] = [width & ~1, height & ~1];
    expect(result).toMatchObject({ width: evenWidth, height: evenHeight, numFrames: 2 });
    const [first] = decodeFrames(outPath, evenWidth, evenHeight);
    const source = textureFrame(width, height, 0);
    const cropped = new Uint8Array(evenWidth * evenHeight * 3);
    for (let y = 0; y < evenHeight; y++) {
      cropped.set(source.subarray(y * width * 3, (y * width + evenWidth) * 3), y * evenWidth * 3);
    }
    // Very small pictures have little but their coarse colour planes.
    expect(psnr(first, cropped)).toBeGreaterThan(width > 16 ? 35 : 25);
  });

  it('plays there and back without showing an end twice', async () => {
    const outPath = newPath();
    const result = await encodeVideo(texture(6, 128, 96), {
      ...small,
      outPath,
      ffmpegPath: path,
      loop: true,
    });
    expect(result).toMatchObject({ numFrames: 10, fps: 8, durationSeconds: 1.25 });
    const { stream, times } = ffprobe(outPath);
    expect(stream.nb_read_frames).toBe(10);
    expect(times).toEqual(Array.from({ length: 10 }, (_, i) => i / 8));
    const decoded = decodeFrames(outPath, 128, 96);
    for (const [i, t] of [0, 1, 2, 3, 4, 5, 4, 3, 2, 1].entries()) {
      expect(psnr(decoded[i], textureFrame(128, 96, t)), `frame ${i}`).toBeGreaterThan(35);
    }
  });

  it.each([2, 3] as const)(
    'smooths by %i along the motion, from the first frame to the last',
    async (smooth) => {
      const outPath = newPath();
      const [width, height] = [192, 128];
      const photo = await loadPhoto();
      const at = (t: number) => window(photo, width, height, 40 + 12 * t);
      const source = Array.from({ length: 6 }, (_, t) => ({ data: at(t) }));
      const result = await encodeVideo(Readable.from(source), {
        ...{ width, height, fps: 8, smooth },
        outPath,
        ffmpegPath: path,
      });
      const numFrames = 5 * smooth + 1;
      expect(result).toMatchObject({ numFrames, fps: 8 * smooth });
      expect(result.durationSeconds).toBeCloseTo(numFrames / (8 * smooth), 6);
      const { stream, times } = ffprobe(outPath);
      expect(stream).toMatchObject({ nb_read_frames: numFrames, r_frame_rate: `${8 * smooth}/1` });
      expect(times.at(-1)).toBeCloseTo(5 / 8, 3);

      const decoded = decodeFrames(outPath, width, height);
      for (const [i, frame] of decoded.entries()) {
        const truth = at(i / smooth);
        if (i % smooth === 0) {
          expect(psnr(frame, truth), `source frame ${i}`).toBeGreaterThan(33);
          continue;
        }
        const [before, after] = [at(Math.floor(i / smooth)), at(Math.ceil(i / smooth))];
        const share = (i % smooth) / smooth;
        const blend = before.map((value, k) => Math.round(value * (1 - share) + (after[k] ?? 0) * share));
        expect(psnr(frame, truth), `frame ${i}`).toBeGreaterThan(27);
        expect(psnr(frame, truth), `frame ${i} against a blend`).toBeGreaterThan(psnr(blend, truth) + 4);
      }
    },
  );

  it('smooths a loop through its seam', async () => {
    const outPath = newPath();
    const result = await encodeVideo(texture(5, 128, 96), {
      ...small,
      outPath,
      ffmpegPath: path,
      smooth: 3,
      loop: true,
    });
    // 4 intervals there and 4 back, each of 3 frames: the clip ends one step before its first frame.
    expect(result).toMatchObject({ numFrames: 24, fps: 24, durationSeconds: 1 });
    const decoded = decodeFrames(outPath, 128, 96);
    for (let i = 1; i < 12; i++)
      expect(psnr(decoded[i], decoded[24 - i]), `mirror of ${i}`).toBeGreaterThan(35);
    expect(psnr(decoded[12], textureFrame(128, 96, 4))).toBeGreaterThan(35);
    const stepAcrossSeam = psnr(decoded[23], decoded[0]);
    expect(Math.abs(stepAcrossSeam - psnr(decoded[0], decoded[1]))).toBeLessThan(2);
  });

  it.each([
    [1, { smooth: 3, loop: true }, 1, 8],
    [1, { loop: true }, 1, 8],
    [2, { loop: true }, 2, 8],
    [2, { smooth: 2 }, 3, 16],
    [2, { smooth: 2, loop: true }, 4, 16],
    [3, { loop: true }, 4, 8],
  ] as const)('makes the most of %i frames with %o', async (count, wanted, numFrames, fps) => {
    const outPath = newPath();
    const result = await encodeVideo(texture(count, 128, 96), {
      ...small,
      outPath,
      ffmpegPath: path,
      ...wanted,
    });
    expect(result).toMatchObject({ numFrames, fps });
    expect(ffprobe(outPath).stream.nb_read_frames).toBe(numFrames);
  });

  it('fits a byte budget and says what was given up', async () => {
    const options = { width: 256, height: 192, fps: 8, ffmpegPath: path };
    const free = await encodeVideo(texture(12, 256, 192), { ...options, outPath: newPath() });
    expect(free).not.toHaveProperty('fitted');
    const maxBytes = Math.round(free.bytes / 2);
    const outPath = newPath();
    const fitted = await encodeVideo(texture(12, 256, 192), {
      ...options,
      outPath,
      maxBytes,
      metadata: { seed: '7' },
    });
    expect(statSync(outPath).size).toBe(fitted.bytes);
    expect(fitted.bytes).toBeLessThanOrEqual(maxBytes);
    expect(fitted.bytes).toBeGreaterThan(maxBytes / 2);
    expect(fitted).toMatchObject({ width: 256, height: 192, numFrames: 12, fps: 8, fitted: { scale: 1 } });
    expect(fitted.fitted?.crf).toBeGreaterThan(17);
    const { stream, format } = ffprobe(outPath);
    expect(stream).toMatchObject({
      profile: 'High',
      color_space: 'bt709',
      nb_read_frames: 12,
      duration: 1.5,
    });
    expect(format.tags?.['comment']).toBe('{"seed":"7"}');
  });

  it('scales down as the last resort', async () => {
    const outPath = newPath();
    const result = await encodeVideo(noise(8, 192, 128), {
      ...{ width: 192, height: 128, fps: 8, maxBytes: 8_000 },
      outPath,
      ffmpegPath: path,
    });
    expect(statSync(outPath).size).toBeLessThanOrEqual(8_000);
    expect(result.fitted?.scale).toBeLessThan(1);
    expect(ffprobe(outPath).stream).toMatchObject({
      width: result.width,
      height: result.height,
      nb_read_frames: 8,
      sample_aspect_ratio: '1:1',
    });
  });

  it('adds what is known after the last frame, and encodes nothing again for it', async () => {
    const [plain, late] = [newPath(), newPath()];
    const options = { ...{ width: 64, height: 64, fps: 8, ffmpegPath: path }, metadata: { seed: '7' } };
    await encodeVideo(texture(4, 64, 64), { ...options, outPath: plain, lateMetadata: () => ({}) });
    await encodeVideo(texture(4, 64, 64), {
      ...{ ...options, outPath: late },
      lateMetadata: () => ({ decodedAtOnce: '5 from frame 2 on' }),
    });
    expect(JSON.parse(ffprobe(plain).format.tags?.['comment'] ?? '')).toEqual({ seed: '7' });
    expect(JSON.parse(ffprobe(late).format.tags?.['comment'] ?? '')).toEqual({
      seed: '7',
      decodedAtOnce: '5 from frame 2 on',
    });
    expect(topLevelBoxes(late)).toEqual(topLevelBoxes(plain));
    expect(decodeFrames(late, 64, 64)).toEqual(decodeFrames(plain, 64, 64));
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('writes metadata that survives quotes, line breaks and every script', async () => {
    const metadata = {
      prompt: 'zoom "in"; \\ = # \'x\'\n猫がゆっくり 🐈‍⬛ ÀÉ\u0000\u001b[31m',
      negativePrompt: '',
      seed: '9007199254740991',
    };
    const outPath = newPath();
    await encodeVideo(texture(2, 64, 64), {
      ...{ width: 64, height: 64, fps: 8, metadata },
      outPath,
      ffmpegPath: path,
    });
    const { tags = {} } = ffprobe(outPath).format;
    expect(JSON.parse(tags['comment'] ?? '')).toEqual(metadata);
    expect(metadataOf((await readMp4Info(outPath)).comment)).toEqual(metadata);
    expect(tags['title']).toBe('zoom "in"; \\ = # \'x\' 猫がゆっくり 🐈‍⬛ ÀÉ [31m');
  });
});

it('bounds metadata, and cuts no emoji in half', async () => {
  const outPath = newPath();
  const metadata = { prompt: '🐈'.repeat(200_000), seed: '5' };
  await encodeVideo(texture(2, 64, 64), { width: 64, height: 64, fps: 8, metadata, outPath, ffmpegPath });
  const { tags = {} } = ffprobe(outPath).format;
  expect(Buffer.byteLength(tags['comment'] ?? '')).toBeLessThanOrEqual(8 * 1024);
  const comment = JSON.parse(tags['comment'] ?? '');
  expect(comment.seed).toBe('5');
  expect(comment.prompt).toMatch(/^(🐈)+\uFFFD?…$/u);
  expect(tags['title']).toMatch(/^(🐈)+\uFFFD?…$/u);
});

it('writes no metadata when none is given', async () => {
  const outPath = newPath();
  await encodeVideo(texture(2, 64, 64), { width: 64, height: 64, fps: 8, outPath, ffmpegPath });
  expect(Object.keys(ffprobe(outPath).format.tags ?? {}).sort()).toEqual([
    'compatible_brands',
    'encoder',
    'major_brand',
    'minor_version',
  ]);
});

it.each([
  [640, 400, 320, 200],
  [128, 96, 128, 96],
])('makes a thumbnail of %ix%i', async (width, height, thumbnailWidth, thumbnailHeight) => {
  const thumbnailPath = join(folder, `thumbnail-${width}.jpg`);
  const outPath = newPath();
  await encodeVideo(texture(2, width, height), { width, height, fps: 8, outPath, ffmpegPath, thumbnailPath });
  const { data, info } = await sharp(thumbnailPath).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  expect((await sharp(thumbnailPath).metadata()).format).toBe('jpeg');
  expect(statSync(thumbnailPath).size).toBeLessThanOrEqual(200_000);
  expect(info).toMatchObject({ width: thumbnailWidth, height: thumbnailHeight });
  const first = await sharp(textureFrame(width, height, 0), { raw: { width, height, channels: 3 } })
    .resize(thumbnailWidth, thumbnailHeight)
    .raw()
    .toBuffer();
  expect(psnr(data, first)).toBeGreaterThan(33);
});

it('starts before all frames exist', async () => {
  const outPath = newPath();
  async function* frames() {
    for (let t = 0; t < 6; t++) {
      // ffmpeg must be at work long before the last frame is made.
      if (t === 3) await until(() => processesOf(basename(outPath)).length > 0);
      yield { data: textureFrame(256, 256, t) };
    }
  }
  await encodeVideo(frames(), { width: 256, height: 256, fps: 8, outPath, ffmpegPath });
  expect(ffprobe(outPath).stream.nb_read_frames).toBe(6);
});

it('takes frames from a source that fills one buffer again and again', async () => {
  const outPath = newPath();
  async function* frames() {
    const data = new Uint8Array(128 * 96 * 3);
    for (let t = 0; t < 6; t++) {
      data.set(textureFrame(128, 96, t));
      yield { data };
    }
  }
  await encodeVideo(frames(), { ...small, outPath, ffmpegPath, loop: true });
  const decoded = decodeFrames(outPath, 128, 96);
  for (let t = 0; t < 6; t++) expect(psnr(decoded[t], textureFrame(128, 96, t))).toBeGreaterThan(35);
});

it('starts ffmpeg once, by the arguments that it needs', async () => {
  const log = join(folder, 'starts.log');
  const wrapper = join(folder, 'ffmpeg-logged');
  writeFileSync(wrapper, `#!/bin/sh\necho "$*" >> '${log}'\nexec '${ffmpegPath}' "$@"\n`);
  chmodSync(wrapper, 0o755);
  await encodeVideo(texture(4, 128, 96), { ...small, outPath: newPath(), ffmpegPath: wrapper });
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(
    /^-hide_banner -nostdin -v error -f rawvideo -pixel_format rgb24 -video_size 128x96 -framerate 8\/1 -i pipe:0 .*-c:v libx264 .*-movflags \+faststart -f mp4 file:\/.*$/,
  );
});

it.each([
  'a:b.mp4',
  '-dash.mp4',
  'with space & "quotes" %03d.mp4',
  'ünïcödé 猫.mp4',
  `${'x'.repeat(250)}.mp4`,
])('writes to the name %s', async (name) => {
  const outPath = join(folder, name);
  await encodeVideo(texture(2, 64, 64), { width: 64, height: 64, fps: 8, outPath, ffmpegPath });
  expect(readdirSync(folder)).toContain(name);
});

it('replaces an older file', async () => {
  const outPath = newPath();
  writeFileSync(outPath, 'old');
  await encodeVideo(texture(2, 64, 64), { width: 64, height: 64, fps: 8, outPath, ffmpegPath });
  expect(ffprobe(outPath).stream.nb_frames).toBe(2);
});

it.each([
  [{ width: 0 }, 'width must be a whole number from 2 to 8192; it is 0.'],
  [{ height: 1 }, 'height must be a whole number from 2 to 8192; it is 1.'],
  [{ width: 64.5 }, 'width must be a whole number from 2 to 8192; it is 64.5.'],
  [{ fps: 0 }, 'fps must be from 1 to 120; it is 0.'],
  [{ fps: Number.NaN }, 'fps must be from 1 to 120; it is NaN.'],
  [{ maxBytes: 4095 }, 'The size limit is 4095 bytes; expected at least 4096.'],
])('refuses %o with the range', async (wrong, message) => {
  const outPath = newPath();
  const encoding = encodeVideo(texture(2, 64, 64), {
    ...{ width: 64, height: 64, fps: 8 },
    ...wrong,
    outPath,
    ffmpegPath,
  });
  await expect(encoding).rejects.toMatchObject({ code: 'INVALID_OPTION', message });
});

it('refuses a budget that the clip cannot meet, and leaves nothing', async () => {
  const outPath = join(folder, 'impossible.mp4');
  const encoding = encodeVideo(noise(60, 128, 96), { ...small, outPath, ffmpegPath, maxBytes: 4096 });
  await expect(encoding).rejects.toMatchObject({
    code: 'INVALID_OPTION',
    message: expect.stringMatching(/^This clip cannot be made smaller than \d+ bytes; maxBytes is 4096\.$/),
  });
  expect(readdirSync(folder).filter((name) => name.includes('impossible'))).toEqual([]);
});

async function loadPhoto() {
  const { data, info } = await sharp('examples/cat.jpg')
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width };
}

/** What a camera sees that looks at the photo from `left` pixels on. */
function window(photo: { data: Uint8Array; width: number }, width: number, height: number, left: number) {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const start = ((y + 80) * photo.width + left) * 3;
    data.set(photo.data.subarray(start, start + width * 3), y * width * 3);
  }
  return data;
}

async function* repeat(data: Uint8Array, count: number) {
  for (let t = 0; t < count; t++) yield { data };
}

/** Xorshift noise: the hardest to compress. */
async function* noise(count: number, width: number, height: number) {
  let state = 1;
  for (let t = 0; t < count; t++) {
    const data = new Uint8Array(width * height * 3);
    for (let i = 0; i < data.length; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      data[i] = state & 255;
    }
    yield { data };
  }
}
