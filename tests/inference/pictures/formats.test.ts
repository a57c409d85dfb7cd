/** Very large pictures, and formats of which a file holds more than one picture. */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeImage } from '../../../src/inference/pictures/decode.ts';
import { defaultImageLimits, openImage, readImageHeader } from '../../../src/inference/pictures/header.ts';

const file = (name: string) => readFile(new URL(`../../fixtures/pictures/${name}`, import.meta.url));

/** Red above, green below; 101 x 80. */
async function twoColours(): Promise<Buffer> {
  const [width, height] = [101, 80];
  const data = Buffer.alloc(width * height * 3);
  for (let n = 0; n < width * height; n += 1)
    data.set(n < (width * height) / 2 ? [250, 10, 10] : [10, 240, 20], n * 3);
  return await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

describe('a picture of very many pixels', () => {
  it.each(['jpeg', 'png', 'webp', 'tiff'] as const)('is decoded smaller: %s', async (format) => {
    const plain = sharp(await twoColours());
    const files = {
      jpeg: plain.clone().jpeg({ quality: 95 }).withMetadata({ orientation: 6 }),
      png: plain.clone().png(),
      webp: plain.clone().webp({ lossless: true }),
      tiff: plain.clone().tiff({ compression: 'lzw' }),
    };
    const bytes = await files[format].toBuffer();
    for (const [fullPixels, size] of [
      [8080, [101, 80]],
      [8079, [51, 40]],
      [2000, [26, 20]],
      [400, [13, 10]],
    ] as const) {
      const [width, height] = format === 'jpeg' ? [size[1], size[0]] : size;
      const image = await decodeImage(bytes, { fullPixels });
      expect([image.width, image.height, image.data.length]).toEqual([width, height, width * height * 3]);
      expect(await readImageHeader(bytes, { fullPixels })).toEqual({ width, height, notes: [] });
      // The red half is above, or, turned by EXIF, on the right.
      const [red = 0, green = 0] = image.data.subarray((width - 2) * 3);
      expect(red).toBeGreaterThan(200);
      expect(green).toBeLessThan(60);
    }
  });

  it.each([
    [8000, 6000],
    [8192, 6144],
    [12_000, 9000],
  ])('%d x %d, as phones make them, is accepted', async (width, height) => {
    const sof = Buffer.from(await file('plain.jpg'));
    const at = sof.indexOf(Buffer.from([0xff, 0xc0, 0, 17, 8]));
    sof.writeUInt16BE(height, at + 5);
    sof.writeUInt16BE(width, at + 7);
    const header = await readImageHeader(sof);
    expect(header.width * header.height).toBeLessThanOrEqual(40_000_000);
    expect(header.width / header.height).toBeCloseTo(width / height, 3);
  });
});

/** A GIF of one table, with frames of one colour each. */
function gif(
  [width, height]: readonly [number, number],
  frames: readonly {
    readonly place: readonly [left: number, top: number, width: number, height: number];
    readonly colour: 0 | 1;
    readonly clear?: 0 | 1;
  }[],
): Buffer {
  const u16 = (...values: readonly number[]) => values.flatMap((value) => [value & 0xff, value >> 8]);
  const parts: number[] = [
    ...Buffer.from('GIF89a'),
    ...u16(width, height),
    0x80,
    0,
    0,
    200,
    10,
    20,
    10,
    20,
    200,
  ];
  for (const { place, colour, clear } of frames) {
    if (clear !== undefined) parts.push(0x21, 0xf9, 4, 1, 0, 0, clear, 0);
    parts.push(0x2c, ...u16(...place), 0, 2);
    // A clear code before every pixel keeps codes at three bits.
    const codes = [
      ...Array(place[2] * place[3])
        .fill([4, colour])
        .flat(),
      5,
    ] as number[];
    const bits = codes.map((code) => code.toString(2).padStart(3, '0').split('').reverse().join('')).join('');
    const bytes = (bits.match(/.{1,8}/g) ?? []).map((byte) =>
      Number.parseInt([...byte].reverse().join(''), 2),
    );
    for (let n = 0; n < bytes.length; n += 255)
      parts.push(Math.min(255, bytes.length - n), ...bytes.slice(n, n + 255));
    parts.push(0);
  }
  return Buffer.from([...parts, 0x3b]);
}

describe('GIF', () => {
  const [red, blue, white] = [
    [200, 10, 20],
    [10, 20, 200],
    [255, 255, 255],
  ];
  const at = (image: Awaited<ReturnType<typeof decodeImage>>, x: number, y: number) => [
    ...image.data.subarray((y * image.width + x) * 3).subarray(0, 3),
  ];

  it('shows its first frame, and says so where there are more', async () => {
    const one = { place: [0, 0, 10, 9], colour: 0 } as const;
    const image = await decodeImage(gif([10, 9], [one]));
    expect([image.width, image.height, at(image, 4, 4), image.notes]).toEqual([10, 9, red, []]);
    const moving = await decodeImage(gif([10, 9], [one, { place: [0, 0, 10, 9], colour: 1 }]));
    expect([at(moving, 4, 4), moving.notes.length]).toEqual([red, 1]);
    expect(await decodeImage(await file('animation.gif'))).toMatchObject({ width: 48, height: 32 });
  });

  it('has a small first frame in its place, and nothing behind clear pixels', async () => {
    const bytes = gif([640, 480], [{ place: [3, 2, 10, 9], colour: 1 }]);
    const image = await decodeImage(bytes);
    expect([image.width, image.height]).toEqual([640, 480]);
    expect([at(image, 3, 2), at(image, 12, 10)]).toEqual([blue, blue]);
    expect([at(image, 2, 2), at(image, 13, 10), at(image, 639, 479)]).toEqual([white, white, white]);
    const clear = await decodeImage(gif([10, 9], [{ place: [0, 0, 10, 9], colour: 1, clear: 1 }]));
    expect(at(clear, 4, 4)).toEqual(white);
  });

  it('is refused where it is cut short, and where a part of it would be too large', async () => {
    const bytes = gif([10, 9], [{ place: [0, 0, 10, 9], colour: 0 }]);
    for (const length of [12, 19, 25, 40]) {
      await expect(readImageHeader(bytes.subarray(0, length))).rejects.toMatchObject({
        code: 'IMAGE_UNREADABLE',
      });
    }
    const huge = gif([9000, 9000], [{ place: [0, 0, 10, 9], colour: 0 }]);
    await expect(readImageHeader(huge)).rejects.toMatchObject({ code: 'IMAGE_TOO_LARGE' });
  });
});

describe('TIFF', () => {
  it('is turned as it says, and leads to no EXIF and no further picture', async () => {
    const plain = sharp(await twoColours());
    const bytes = await plain
      .withExif({ IFD0: { Make: 'camera' } })
      .withMetadata({ orientation: 6 })
      .tiff()
      .toBuffer();
    const image = await decodeImage(bytes);
    expect([image.width, image.height]).toEqual([80, 101]);
    expect(image.data[79 * 3]).toBe(250);
    expect(await decodeImage(await file('scan.tiff'))).toMatchObject({ width: 48, height: 32 });

    // Its next directory is the same again.
    const looping = Buffer.from(await file('scan.tiff'));
    const directory = looping.readUInt32LE(4);
    const next = directory + 2 + looping.readUInt16LE(directory) * 12;
    looping.writeUInt32LE(directory, next);
    const { container } = await openImage(looping, defaultImageLimits);
    expect(Buffer.from(container.bytes).readUInt32LE(next)).toBe(0);
    expect((await decodeImage(looping)).data).toEqual((await decodeImage(await file('scan.tiff'))).data);
  });

  it('of YCbCr has its colours, or is refused', async () => {
    const bytes = await sharp(await twoColours())
      .tiff({ compression: 'jpeg', quality: 95 })
      .toBuffer();
    const { data } = await decodeImage(bytes);
    const right = await decodeImage(await twoColours());
    expect(Math.max(...data.map((value, n) => Math.abs(value - (right.data[n] ?? 0))))).toBeLessThan(60);

    // As it is without JPEG, where the decoder takes it for RGB.
    const plain = Buffer.from(await file('scan.tiff'));
    const directory = plain.readUInt32LE(4);
    for (let at = directory + 2; at < directory + 2 + plain.readUInt16LE(directory) * 12; at += 12) {
      if (plain.readUInt16LE(at) === 262) plain.writeUInt16LE(6, at + 8);
    }
    await expect(decodeImage(plain)).rejects.toMatchObject({ code: 'IMAGE_UNREADABLE' });
  });

  it('is refused where it is cut short', async () => {
    const bytes = await file('scan.tiff');
    for (const length of [8, 100, bytes.length - 200]) {
      await expect(decodeImage(bytes.subarray(0, length))).rejects.toMatchObject({
        code: 'IMAGE_UNREADABLE',
      });
    }
  });
});
