import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeImage, imageKey } from '../../../src/inference/pictures/decode.ts';
import { maxDifference, readGolden } from '../../helpers/golden-numerics.ts';

const pictures = fileURLToPath(new URL('../../fixtures/pictures/', import.meta.url));
const file = (name: string) => path.join(pictures, name);
const animated = /^The picture is animated; only its first frame is used\.$/;

describe('decodeImage', () => {
  const golden =
    readGolden<{ file: string; width: number; height: number; tolerance: number; pixels: string }[]>(
      'decoded.json',
    );

  it.each(golden)('$file: the pixels that Pillow sees, within $tolerance', async (entry) => {
    const image = await decodeImage(file(entry.file));
    expect([image.width, image.height]).toEqual([entry.width, entry.height]);
    const difference = maxDifference(image.data, Buffer.from(entry.pixels, 'base64'));
    expect(difference).toBeLessThanOrEqual(entry.tolerance);
    expect(image.notes).toEqual(entry.file.startsWith('animated') ? [expect.stringMatching(animated)] : []);
  });

  it('takes bytes as well as a path', async () => {
    const fromPath = await decodeImage(file('plain.png'));
    expect(await decodeImage(await readFile(file('plain.png')))).toEqual(fromPath);
    expect(await decodeImage(new Uint8Array(await readFile(file('plain.png'))))).toEqual(fromPath);
  });

  it('shows inks in their colours', async () => {
    const { data, width } = await decodeImage(file('cmyk.jpg'));
    const at = (block: number) => [...data.subarray((16 * width + block * 8 + 4) * 3).subarray(0, 3)];
    const isNear = (actual: number[], wanted: number[]) =>
      expect(maxDifference(actual, wanted), `${actual} for ${wanted}`).toBeLessThan(90);
    isNear(at(0), [255, 0, 0]);
    isNear(at(1), [0, 180, 60]);
    isNear(at(2), [0, 0, 150]);
    isNear(at(3), [255, 255, 255]);
    isNear(at(4), [0, 0, 0]);
    isNear(at(5), [255, 255, 0]);
  });

  it('turns the colours of another profile into sRGB', async () => {
    const plain = await decodeImage(file('plain.png'));
    const { width, height } = plain;
    const wide = await sharp(plain.data, { raw: { width, height, channels: 3 } })
      .withIccProfile('p3')
      .png()
      .toBuffer();
    const stored = await sharp(wide, { ignoreIcc: true }).raw().toBuffer();
    expect(maxDifference(stored, plain.data)).toBeGreaterThan(8);
    expect(maxDifference((await decodeImage(wide)).data, plain.data)).toBeLessThanOrEqual(2);
  });

  it('does not mind what follows the picture', async () => {
    const bytes = Buffer.concat([
      await readFile(file('plain.jpg')),
      Buffer.from('trailer of a phone'.repeat(50)),
    ]);
    expect((await decodeImage(bytes)).data).toEqual((await decodeImage(file('plain.jpg'))).data);
  });

  it('lays transparency on the colour asked for', async () => {
    const { data } = await decodeImage(file('alpha.png'), { background: '#00ff00' });
    expect([...data.subarray(0, 3)]).toEqual([0, 255, 0]);
  });

  it.each([
    ['empty.jpg', 'IMAGE_UNREADABLE', /empty file/],
    ['truncated.jpg', 'IMAGE_UNREADABLE', /The JPEG picture cannot be decoded/],
    ['truncated.png', 'IMAGE_UNREADABLE', /The PNG picture cannot be decoded/],
    ['truncated.webp', 'IMAGE_UNREADABLE', /The WebP picture cannot be decoded/],
    ['header-only.jpg', 'IMAGE_UNREADABLE', /JPEG/],
    ['header-only.png', 'IMAGE_UNREADABLE', /PNG/],
    ['bad-checksum.png', 'IMAGE_UNREADABLE', /PNG/],
    ['one-pixel.png', 'IMAGE_TOO_SMALL', /1 x 1 pixels; expected at least 8 x 8 and at most 200 megapixels/],
    ['narrow.png', 'IMAGE_TOO_SMALL', /200 x 7 pixels; expected at least 8 x 8/],
    ['bomb.png', 'IMAGE_TOO_LARGE', /30000 x 30000 pixels; expected .* at most 200 megapixels/],
    ['bitmap.bmp', 'IMAGE_UNSUPPORTED', /BMP/],
    ['photo.avif', 'IMAGE_UNSUPPORTED', /AVIF/],
    ['photo.heic', 'IMAGE_UNSUPPORTED', /HEIC/],
    ['clip.mp4', 'IMAGE_UNSUPPORTED', /MP4/],
    ['drawing.svg', 'IMAGE_UNSUPPORTED', /SVG/],
    ['svg-as.png', 'IMAGE_UNSUPPORTED', /SVG/],
    ['paper.pdf', 'IMAGE_UNSUPPORTED', /PDF/],
    ['page.jpg', 'IMAGE_UNSUPPORTED', /HTML/],
    ['text.jpg', 'IMAGE_UNSUPPORTED', /a format that Kinora does not know/],
    ['no-such-file.jpg', 'IMAGE_NOT_FOUND', /There is no picture at/],
    ['.', 'IMAGE_NOT_FOUND', /is a folder/],
    ['plain.png/inside.jpg', 'IMAGE_NOT_FOUND', /There is no picture at/],
    ['\0.jpg', 'IMAGE_NOT_FOUND', /cannot be opened/],
    ['x'.repeat(5000), 'IMAGE_NOT_FOUND', /cannot be opened/],
  ])('refuses %s with %s', async (name, code, message) => {
    await expect(decodeImage(`${pictures}${name}`)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });

  it('refuses what is beyond the limits it is given', async () => {
    const bytes = await readFile(file('plain.png'));
    await expect(decodeImage(bytes, { maxPixels: 1000 })).rejects.toMatchObject({ code: 'IMAGE_TOO_LARGE' });
    await expect(decodeImage(bytes, { minSide: 33 })).rejects.toMatchObject({ code: 'IMAGE_TOO_SMALL' });
    await expect(decodeImage(bytes, { maxBytes: 100 })).rejects.toMatchObject({ code: 'IMAGE_TOO_LARGE' });
    await expect(decodeImage(file('plain.png'), { maxBytes: 100 })).rejects.toMatchObject({
      code: 'IMAGE_TOO_LARGE',
      message: expect.stringMatching(/expected at most/),
    });
  });

  it('refuses pipes and devices without waiting for them', async () => {
    await expect(decodeImage('/dev/zero')).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
      message: expect.stringMatching(/not a regular file/),
    });
  });

  it.skipIf(process.getuid?.() === 0)('says that a file may not be read', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'kinora-picture-'));
    try {
      const secret = path.join(folder, 'secret.png');
      await writeFile(secret, await readFile(file('plain.png')));
      await chmod(secret, 0o000);
      await expect(decodeImage(secret)).rejects.toMatchObject({
        code: 'IMAGE_NOT_FOUND',
        message: expect.stringMatching(/permission denied/),
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('leaves no other decoder open in the process', async () => {
    for (const name of ['photo.avif', 'drawing.svg']) {
      await expect(sharp(await readFile(file(name))).metadata()).rejects.toThrow(/unsupported image format/);
      await expect(sharp(file(name)).metadata()).rejects.toThrow(/unsupported image format/);
    }
    expect((await sharp(await readFile(file('plain.png'))).metadata()).format).toBe('png');
  });
});

describe('imageKey', () => {
  it('names pixels, not files', async () => {
    const key = imageKey(await decodeImage(file('plain.png')));
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(imageKey(await decodeImage(file('lossless.webp')))).toBe(key);
    expect(imageKey(await decodeImage(file('grey.png')))).not.toBe(key);
  });

  it('tells sizes of equal bytes apart', () => {
    const data = new Uint8Array(8 * 6 * 3);
    expect(imageKey({ width: 8, height: 6, data })).not.toBe(imageKey({ width: 6, height: 8, data }));
  });
});
