/** EXIF: only the orientation is taken, by code of our own; no decoder ever sees a byte of it. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { decodeImage } from '../../../src/inference/pictures/decode.ts';
import { readOrientation } from '../../../src/inference/pictures/exif.ts';
import { defaultImageLimits, openImage, readImageHeader } from '../../../src/inference/pictures/header.ts';
import {
  jpegSegment,
  pngChunk,
  riffChunk,
  webpWithExif,
  withPngChunks,
} from '../../helpers/picture-files.ts';

const file = (name: string) => readFile(new URL(`../../fixtures/pictures/${name}`, import.meta.url));
const limits = { ...defaultImageLimits, maxBytes: 1e8 };

/** A TIFF structure whose first directory has these entries. */
function tiff(entries: readonly (readonly [tag: number, type: number, value: number])[], isLittle = true) {
  const bytes = Buffer.alloc(8 + 2 + entries.length * 12 + 4);
  bytes.write(isLittle ? 'II*\0' : 'MM\0*', 'latin1');
  const u16 = (at: number, value: number) =>
    isLittle ? bytes.writeUInt16LE(value, at) : bytes.writeUInt16BE(value, at);
  const u32 = (at: number, value: number) =>
    isLittle ? bytes.writeUInt32LE(value, at) : bytes.writeUInt32BE(value, at);
  u32(4, 8);
  u16(8, entries.length);
  for (const [n, [tag, type, value]] of entries.entries()) {
    const at = 10 + n * 12;
    u16(at, tag);
    u16(at + 2, type);
    u32(at + 4, 1);
    if (type === 3) u16(at + 8, value);
    else u32(at + 8, value);
  }
  return bytes;
}
const turned = (orientation: number) => tiff([[0x0112, 3, orientation]]);

describe('readOrientation', () => {
  it.each([true, false])('finds it among other entries, little-endian: %s', (isLittle) => {
    const entries = [
      [0x010f, 4, 1],
      [0x0112, 3, 6],
      [0x8769, 4, 8],
    ] as const;
    expect(readOrientation(tiff(entries, isLittle))).toBe(6);
    expect(readOrientation(Buffer.concat([Buffer.from('Exif\0\0'), tiff(entries, isLittle)]))).toBe(6);
  });

  it.each([0, 9, 65_535])('takes %d for none', (value) => {
    expect(readOrientation(turned(value))).toBeUndefined();
  });

  it('ends where the block ends, wherever its pointers lead', () => {
    const whole = tiff([
      [0x010f, 4, 1],
      [0x0112, 3, 6],
    ]);
    for (let length = 0; length < whole.length - 10; length += 1) {
      expect(readOrientation(whole.subarray(0, length))).toBeUndefined();
    }
    for (const pointer of [0, 4, 0x7fffffff, 0xffffffff]) {
      const led = Buffer.from(whole);
      led.writeUInt32LE(pointer, 4);
      expect(readOrientation(led)).toBeUndefined();
    }
    const crowded = tiff(Array.from({ length: 5000 }, () => [0x010f, 4, 1] as const));
    expect(readOrientation(Buffer.concat([crowded, turned(6)]))).toBeUndefined();
  });
});

/** Its pointers lead back to its first directory. */
async function loopingExif(): Promise<Buffer> {
  const bytes = await file('exif-loop.jpg');
  const at = bytes.indexOf('Exif\0\0');
  return bytes.subarray(at, at - 2 + bytes.readUInt16BE(at - 2));
}

describe('an EXIF block whose pointers lead in circles', () => {
  const pictures: readonly [string, () => Promise<Buffer>][] = [
    ['JPEG', () => file('exif-loop.jpg')],
    [
      'PNG',
      async () => withPngChunks(await file('plain.png'), pngChunk('eXIf', (await loopingExif()).subarray(6))),
    ],
    ['WebP', async () => webpWithExif(await file('lossless.webp'), [48, 32], await loopingExif())],
    [
      'JPEG in many segments',
      async () => {
        const plain = await file('plain.jpg');
        const segments = Array.from({ length: 200 }, () => loopingExif());
        return Buffer.concat([
          plain.subarray(0, 2),
          ...(await Promise.all(segments)).map((exif) => jpegSegment(0xe1, exif)),
          plain.subarray(2),
        ]);
      },
    ],
  ];

  it.each(pictures)('costs nothing: %s', async (_, make) => {
    const bytes = await make();
    expect(bytes.includes('II*\0') || bytes.includes('MM\0*')).toBe(true);
    const { container } = await openImage(bytes, limits);
    for (const sign of ['Exif', 'eXIf', 'EXIF', 'II*\0', 'MM\0*']) {
      expect(Buffer.from(container.bytes).includes(sign)).toBe(false);
    }
    const before = process.cpuUsage();
    const header = await readImageHeader(bytes);
    const image = await decodeImage(bytes);
    const { user, system } = process.cpuUsage(before);
    expect([image.width, image.height]).toEqual([header.width, header.height]);
    expect((user + system) / 1000).toBeLessThan(1000); // the decoder's own reader takes half a minute
  });
});

it('a PNG whose EXIF lies behind its pixels is turned as well', async () => {
  const upright = await file('orientation-6.png');
  const at = upright.indexOf('eXIf') - 4;
  const exif = upright.subarray(at, at + 12 + upright.readUInt32BE(at));
  const end = upright.length - 12;
  const parts = [
    upright.subarray(0, at),
    upright.subarray(at + exif.length, end),
    exif,
    upright.subarray(end),
  ];
  expect(await decodeImage(Buffer.concat(parts))).toEqual(await decodeImage(upright));
});

describe('what else a file carries', () => {
  it('does not reach the decoder: text, thumbnails, XMP, further pictures', async () => {
    const plain = await file('plain.jpg');
    const parts = [
      jpegSegment(0xe1, Buffer.from('http://ns.adobe.com/xap/1.0/\0<secret/>')),
      jpegSegment(0xe2, Buffer.from('MPF\0II*\0secret')),
      jpegSegment(0xed, Buffer.from('Photoshop 3.0\0secret')),
      jpegSegment(0xfe, Buffer.from('secret')),
    ];
    const jpeg = Buffer.concat([
      plain.subarray(0, 2),
      ...parts,
      plain.subarray(2),
      Buffer.from('secret'),
      plain,
    ]);
    const png = withPngChunks(await file('plain.png'), pngChunk('tEXt', Buffer.from('secret\0text')));
    const webp = webpWithExif(
      await file('lossless.webp'),
      [48, 32],
      turned(1),
      riffChunk('XMP ', Buffer.from('secret')),
    );
    for (const [bytes, same] of [
      [jpeg, plain],
      [png, await file('plain.png')],
      [webp, await file('lossless.webp')],
    ] as const) {
      const { container } = await openImage(bytes, limits);
      expect(Buffer.from(container.bytes).includes('secret')).toBe(false);
      expect((await decodeImage(bytes)).data).toEqual((await decodeImage(same)).data);
    }
  });

  it('may state the orientation in any segment', async () => {
    const plain = await file('plain.jpg');
    const turnedUp = Buffer.concat([
      plain.subarray(0, 2),
      jpegSegment(0xe1, Buffer.from('http://ns.adobe.com/xap/1.0/\0<x/>')),
      jpegSegment(0xe1, Buffer.concat([Buffer.from('Exif\0\0'), tiff([[0x010f, 4, 1]])])),
      jpegSegment(0xe1, Buffer.concat([Buffer.from('Exif\0\0'), turned(6)])),
      plain.subarray(2),
    ]);
    const [upright, image] = [await decodeImage(plain), await decodeImage(turnedUp)];
    expect([image.width, image.height]).toEqual([upright.height, upright.width]);
    const webp = webpWithExif(await file('lossless.webp'), [48, 32], turned(8));
    expect(await readImageHeader(webp)).toMatchObject({ width: 32, height: 48 });
  });
});
