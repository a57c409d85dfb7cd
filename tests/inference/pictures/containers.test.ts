/** What is odd about a file, but not about its pixels. */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeImage } from '../../../src/inference/pictures/decode.ts';
import { defaultImageLimits, openImage, readImageHeader } from '../../../src/inference/pictures/header.ts';
import {
  jpegSegment,
  numbersChunk,
  type PngOptions,
  png,
  pngChunk,
  pngHeader,
  pngRows,
} from '../../helpers/picture-files.ts';

const file = (name: string) => readFile(new URL(`../../fixtures/pictures/${name}`, import.meta.url));
const unreadable = { code: 'IMAGE_UNREADABLE' };
const limits = { ...defaultImageLimits, maxBytes: 1e8 };

describe('a JPEG with all of its pixels and something odd around them', () => {
  it.each(['jpg-sos-zero.jpg', 'jpg-jfif-3.jpg'])('%s', async (name) => {
    const { width, data } = await decodeImage(await file(name));
    const near = (x: number, y: number, right: number[]) => {
      const seen = [...data.subarray((y * width + x) * 3).subarray(0, 3)];
      expect(Math.max(...seen.map((v, n) => Math.abs(v - (right[n] ?? 0)))), `${seen}`).toBeLessThanOrEqual(
        10,
      );
    };
    near(10, 10, [250, 10, 10]);
    near(80, 52, [10, 240, 20]);
  });

  it('uhdr.jpg: a second picture behind it', async () => {
    expect(await decodeImage(await file('uhdr.jpg'))).toMatchObject({ width: 384, height: 256 });
  });

  const pictures = ['plain.jpg', 'progressive.jpg', 'subsampled.jpg', 'grey.jpg', 'cmyk.jpg'];
  const end = Buffer.from([0xff, 0xd9]);
  const scan = Buffer.from([0xff, 0xda]);
  const insert = (bytes: Buffer, at: number, extra: readonly number[]) =>
    Buffer.concat([bytes.subarray(0, at), Buffer.from(extra), bytes.subarray(at)]);

  it.each(pictures)('%s decodes as it does without', async (name) => {
    const bytes = await file(name);
    const { data } = await decodeImage(bytes);
    const [endAt, scanAt, lastAt] = [bytes.lastIndexOf(end), bytes.indexOf(scan), bytes.lastIndexOf(scan)];
    const odd = [
      bytes.subarray(0, endAt), // no end
      bytes.subarray(0, endAt + 1), // half an end
      insert(bytes, 2, [0]), // strays: behind the start, before scans, before the end
      insert(bytes, scanAt, [0x11]),
      insert(bytes, lastAt, [1, 2, 3]),
      insert(bytes, endAt, [0]),
      insert(bytes, scanAt, [0xff, 0xff]), // filling
      insert(bytes, 2, [...jpegSegment(0xe0, Buffer.from('JFIF\0\x03\x01\0\0\x01\0\x01\0\0', 'latin1'))]),
      Buffer.concat([bytes, Buffer.alloc(100, 0xff)]),
    ];
    // A JPEG with Adobe's mark keeps its colours only without another one.
    for (const [n, candidate] of odd.entries()) {
      if (name === 'cmyk.jpg' && n === 7) continue;
      expect(Buffer.compare((await decodeImage(candidate)).data, data), `oddity ${n}`).toBe(0);
    }
  });

  it('a progressive one of a usual size decodes as it does without', async () => {
    const pixels = { width: 96, height: 64, channels: 3 } as const;
    const noise = Buffer.from(Array.from({ length: 96 * 64 * 3 }, (_, n) => (n * n * 7919) >> 8));
    const bytes = await sharp(noise, { raw: pixels }).jpeg({ progressive: true, quality: 90 }).toBuffer();
    const { data } = await decodeImage(bytes);
    const endAt = bytes.lastIndexOf(end);
    const stray = (count: number, value: (n: number) => number) =>
      insert(
        bytes,
        endAt,
        Array.from({ length: count }, (_, n) => value(n)),
      );
    const odd = [
      bytes.subarray(0, endAt), // no end
      stray(1, () => 0),
      stray(15, (n) => n * 3 + 1),
      stray(400, () => 0),
    ];
    for (const [n, candidate] of odd.entries()) {
      expect(Buffer.compare((await decodeImage(candidate)).data, data), `oddity ${n}`).toBe(0);
    }
    // So much may be pixels behind a damage.
    await expect(decodeImage(stray(400, (n) => n % 251))).rejects.toMatchObject(unreadable);
    for (const missing of [1, 2, 3, 10, 30]) {
      const cut = bytes.subarray(0, endAt - missing);
      await expect(decodeImage(cut)).rejects.toMatchObject(unreadable);
      await expect(decodeImage(Buffer.concat([cut, end]))).rejects.toMatchObject(unreadable);
    }
  });

  it.each(pictures)('%s is refused where pixels are missing', async (name) => {
    const bytes = await file(name);
    const endAt = bytes.lastIndexOf(end);
    for (const missing of [1, 2, 3, 10, 30]) {
      const cut = bytes.subarray(0, endAt - missing);
      await expect(decodeImage(cut)).rejects.toMatchObject(unreadable);
      await expect(decodeImage(Buffer.concat([cut, end]))).rejects.toMatchObject(unreadable);
    }
  });

  it('is refused, by its header, where whole scans are missing', async () => {
    const bytes = await file('progressive.jpg');
    let scans = 0;
    for (let at = bytes.indexOf(scan); at >= 0; at = bytes.indexOf(scan, at + 1), scans += 1) {
      await expect(readImageHeader(bytes.subarray(0, at))).rejects.toMatchObject(unreadable);
    }
    expect(scans).toBeGreaterThan(3);
  });
});

describe('an APNG whose default image is no frame', () => {
  it('shows its first frame', async () => {
    const { data, notes } = await decodeImage(await file('apng-hidden-default.png'));
    expect([...data.subarray((10 * 96 + 10) * 3).subarray(0, 3)]).toEqual([5, 245, 245]);
    expect(notes).toHaveLength(1);
  });

  const whole: PngOptions = {
    width: 12,
    height: 10,
    bitDepth: 8,
    colourType: 2,
    samples: Array(360).fill(9),
  };
  const part: PngOptions = { ...whole, width: 4, height: 3, samples: Array(36).fill(200) };
  /** @param place width, height, left and top of the frame */
  const animation = (...place: readonly number[]) => {
    const sequence = (n: number) =>
      numbersChunk('fcTL', n, ...place, 0, 0)
        .subarray(8, -4)
        .subarray(0, 26);
    return Buffer.concat([
      png({ ...whole, chunks: [numbersChunk('acTL', 1, 0)] }).subarray(0, -12),
      pngChunk('fcTL', sequence(0)),
      pngChunk('fdAT', Buffer.concat([Buffer.of(0, 0, 0, 1), pngRows(part)])),
      pngChunk('IEND', Buffer.alloc(0)),
    ]);
  };

  it('has the frame in its place, on the background', async () => {
    const { width, height, data } = await decodeImage(animation(4, 3, 5, 6));
    expect([width, height]).toEqual([12, 10]);
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const isFrame = x >= 5 && x < 9 && y >= 6 && y < 9;
        expect(data[(y * width + x) * 3]).toBe(isFrame ? 200 : 255);
      }
    }
  });

  it('shows the default image when the frame does not lie in the picture', async () => {
    for (const place of [
      [4, 3, 9, 6],
      [4, 3, 5, 4_294_967_295],
      [0, 3, 5, 6],
    ]) {
      expect((await decodeImage(animation(...place))).data[0]).toBe(9);
    }
  });

  it('has the header of a picture', () => {
    expect(pngHeader(whole).subarray(4, 8).toString()).toBe('IHDR');
  });
});

it('a file of a million parts is refused at once', async () => {
  const dot = pngChunk('tEXt', Buffer.alloc(0));
  const plain = await file('plain.png');
  const bytes = Buffer.concat([
    plain.subarray(0, 33),
    Buffer.alloc(dot.length * 1e6, dot),
    plain.subarray(33),
  ]);
  await expect(openImage(bytes, limits)).rejects.toMatchObject(unreadable);
});
