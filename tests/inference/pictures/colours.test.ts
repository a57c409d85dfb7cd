/** Pictures are decoded in their right colours, whatever words a file has for them. */
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import {
  codedTransfers,
  gamma,
  iccProfile,
  srgbPrimaries,
} from '../../../src/inference/pictures/colour-profile.ts';
import { decodeImage } from '../../../src/inference/pictures/decode.ts';
import { maxDifference, readGolden } from '../../helpers/golden-numerics.ts';
import { iccChunk, numbersChunk, type PngOptions, png, pngChunk, tiff } from '../../helpers/picture-files.ts';

const file = (name: string) => readFile(new URL(`../../fixtures/pictures/${name}`, import.meta.url));
const decode = async (name: string) => await decodeImage(await file(name));

type Image = Awaited<ReturnType<typeof decodeImage>>;
const at = ({ width, data }: Image, x: number, y: number) => [
  ...data.subarray((y * width + x) * 3).subarray(0, 3),
];
const near = (seen: readonly number[], right: readonly number[], by: number) =>
  expect(
    Math.max(...seen.map((v, n) => Math.abs(v - (right[n] ?? 0)))),
    `${seen} for ${right}`,
  ).toBeLessThanOrEqual(by);

const toSrgb = (light: number) =>
  255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055);

/** A picture of one colour. */
function flat(
  colour: readonly number[],
  options: Pick<PngOptions, 'bitDepth' | 'colourType' | 'chunks'>,
): Buffer {
  const samples = Array.from({ length: 64 }, () => colour).flat();
  return png({ width: 8, height: 8, samples, ...options });
}
const seen = async (bytes: Uint8Array) => at(await decodeImage(bytes), 3, 4);

describe('16 bits', () => {
  it.each(['none16.png', 'icc16-srgb.png', 'icc16-adobergb.png'])('%s', async (name) => {
    const image = await decode(name);
    near(at(image, 10, 10), [250, 10, 10], 4);
    near(at(image, 80, 52), [10, 240, 20], 4);
  });

  const linear = iccChunk(iccProfile(gamma(1), srgbPrimaries));
  const linearGrey = iccChunk(iccProfile(gamma(1), undefined));

  it('with a profile, and alpha beside it', async () => {
    const colour = [0.5, 0.05, 0.2].map((light) => Math.round(light * 65_535));
    const right = [0.5, 0.05, 0.2].map(toSrgb);
    near(await seen(flat(colour, { bitDepth: 16, colourType: 2, chunks: [linear] })), right, 2);
    near(await seen(flat([...colour, 65_535], { bitDepth: 16, colourType: 6, chunks: [linear] })), right, 2);
    const half = right.map((value) => (value + 255) / 2);
    near(await seen(flat([...colour, 32_768], { bitDepth: 16, colourType: 6, chunks: [linear] })), half, 2);
  });

  it.each([8, 16] as const)('grey with a profile, %d bits', async (bitDepth) => {
    const most = 2 ** bitDepth - 1;
    const right = Array<number>(3).fill(toSrgb(0.2));
    const grey = Math.round(0.2 * most);
    near(await seen(flat([grey], { bitDepth, colourType: 0, chunks: [linearGrey] })), right, 2);
    near(await seen(flat([grey, most], { bitDepth, colourType: 4, chunks: [linearGrey] })), right, 2);
  });

  it('with a profile for other colours, or one that is none, as if there were none', async () => {
    for (const chunk of [linearGrey, iccChunk(Buffer.alloc(300, 1))]) {
      const bytes = flat([25_700, 5140, 51_400], { bitDepth: 16, colourType: 2, chunks: [chunk] });
      near(await seen(bytes), [100, 20, 200], 1);
    }
  });
});

describe('embedded profiles, as LCMS shows them', () => {
  interface Golden {
    readonly name: string;
    readonly profile: string;
    readonly samples: string;
    readonly shown: string;
    /** Absent for a profile of tables. */
    readonly exact?: string;
  }
  const goldens = readGolden<readonly Golden[]>('profiles.json');
  const bytesOf = (base64: string) => Buffer.from(base64, 'base64');

  it.each(goldens)('$name', async ({ profile: text, samples: colours, shown, exact }) => {
    const profile = bytesOf(text);
    const channels = ({ GRAY: 1, 'RGB ': 3, CMYK: 4 } as const)[profile.toString('latin1', 16, 20)];
    if (channels === undefined) throw new Error('a profile of another space');
    for (const bitDepth of [8, 16] as const) {
      const samples = [...bytesOf(colours)].map((value) => (bitDepth === 8 ? value : value * 257));
      const size = { width: 16, height: 16, bitDepth, samples };
      const colourType = channels === 1 ? 0 : 2;
      const files = [tiff({ ...size, channels, profile })];
      if (channels < 4) files.push(png({ ...size, colourType, chunks: [iccChunk(profile)] }));
      // LCMS has a grid for tables, and for grey. It is exact for the curves of 8-bit colours alone.
      const right = bytesOf((bitDepth === 16 ? exact : undefined) ?? shown);
      for (const bytes of files) {
        const { data } = await decodeImage(bytes);
        expect(maxDifference(data, right), `${bitDepth} bits`).toBeLessThanOrEqual(exact ? 1 : 3);
      }
    }
  });

  it('a damaged one is no fault of the picture', async () => {
    const profile = bytesOf(goldens[0]?.profile ?? '');
    for (let at = 0; at + 4 <= profile.length; at += 11) {
      const damaged = Buffer.from(profile).fill(0xff, at, at + 4);
      const bytes = flat([25_700, 5140, 51_400], {
        bitDepth: 16,
        colourType: 2,
        chunks: [iccChunk(damaged)],
      });
      expect((await decodeImage(bytes)).data).toHaveLength(192);
    }
  });
});

describe('colours that a PNG states without a profile', () => {
  const mark = (codes: readonly number[]) => pngChunk('cICP', Uint8Array.from(codes));

  it('png-gama-linear.png: gAMA 1.0', async () => {
    near(at(await decode('png-gama-linear.png'), 40, 30), [150, 110, 110], 12);
  });

  it.each([
    ['RGB', 2, 8, [51, 128, 204]],
    ['grey', 0, 8, [51]],
    ['grey with alpha', 4, 8, [51, 255]],
    ['16 bits', 2, 16, [13_107, 32_896, 52_428]],
  ] as const)('gAMA: %s', async (_, colourType, bitDepth, colour) => {
    const chunks = [numbersChunk('gAMA', 55_556)]; // the exponent 1.8
    const most = 2 ** bitDepth - 1;
    const [red = 0, green = red, blue = red] = colourType === 2 ? colour : [colour[0]];
    const right = [red, green, blue].map((value) => toSrgb((value / most) ** 1.8));
    near(await seen(flat(colour, { bitDepth, colourType, chunks })), right, 2);
  });

  it('gAMA: a palette', async () => {
    const chunks = [
      numbersChunk('gAMA', 100_000),
      pngChunk('PLTE', Uint8Array.from([9, 9, 9, 51, 128, 204])),
    ];
    near(
      await seen(flat([1], { bitDepth: 8, colourType: 3, chunks })),
      [51, 128, 204].map((v) => toSrgb(v / 255)),
      2,
    );
  });

  it('that are those of sRGB changes nothing', async () => {
    const colour = [51, 128, 204];
    const statements = [
      [numbersChunk('gAMA', 45_455)],
      [
        numbersChunk('gAMA', 45_455),
        numbersChunk('cHRM', 31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6000),
      ],
      [pngChunk('sRGB', Buffer.of(0)), numbersChunk('gAMA', 100_000)], // the stronger word
      [mark([1, 13, 0, 1]), numbersChunk('gAMA', 100_000)],
      [numbersChunk('gAMA', 0)],
      [numbersChunk('gAMA', 4_294_967_295)],
      [numbersChunk('cHRM', 0, 0, 0, 0, 0, 0, 0, 0)],
      [mark([2, 2, 0, 1])],
      [mark([12, 13, 1, 1])], // not RGB
    ];
    for (const chunks of statements) {
      expect(await seen(flat(colour, { bitDepth: 8, colourType: 2, chunks }))).toEqual(colour);
    }
  });

  it('cHRM and cICP: the colours of wide screens', async () => {
    const plain = await decode('plain.png');
    const { width, height } = plain;
    const wide = await sharp(plain.data, { raw: { width, height, channels: 3 } })
      .withIccProfile('p3')
      .png()
      .toBuffer();
    const samples = [...(await sharp(wide, { ignoreIcc: true }).raw().toBuffer())];
    const p3 = numbersChunk('cHRM', 31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6000);
    const other = iccChunk(iccProfile(gamma(1), srgbPrimaries));
    for (const chunks of [[mark([12, 13, 0, 1])], [mark([12, 13, 0, 1]), other], [p3]]) {
      const { data } = await decodeImage(png({ width, height, bitDepth: 8, colourType: 2, samples, chunks }));
      near([...data], [...plain.data], 3);
    }
  });

  it('cICP: sRGB holds against an embedded profile, too', async () => {
    const linear = iccChunk(iccProfile(gamma(1), srgbPrimaries));
    for (const bitDepth of [8, 16] as const) {
      const colour = [100, 20, 200].map((value) => (bitDepth === 8 ? value : value * 257));
      const bytes = flat(colour, { bitDepth, colourType: 2, chunks: [mark([1, 13, 0, 1]), linear] });
      near(await seen(bytes), [100, 20, 200], 1);
    }
  });

  it('cICP: high dynamic range has its reference white as white', async () => {
    const most = 65_535;
    for (const [transfer, white] of [
      [16, 0.5807],
      [18, 0.75],
    ] as const) {
      const chunks = [mark([9, transfer, 0, 1])];
      const shown = (value: number) =>
        seen(flat(Array(3).fill(Math.round(value * most)), { bitDepth: 16, colourType: 2, chunks }));
      near(await shown(white), [255, 255, 255], 10); // the library rounds off the corner
      expect(await shown(1)).toEqual([255, 255, 255]);
      expect(await shown(0)).toEqual([0, 0, 0]);
      const [grey = 0] = await shown(white * 0.8);
      expect(grey).toBeGreaterThan(90);
      expect(grey).toBeLessThan(215);
    }
  });

  it('cICP: the range of video', async () => {
    const chunks = [mark([1, 13, 0, 0])];
    near(await seen(flat([16, 125, 235], { bitDepth: 8, colourType: 2, chunks })), [0, 127, 255], 2);
  });

  it('every transfer goes from dark to light', () => {
    for (const transfer of Object.values(codedTransfers)) {
      expect(transfer(0)).toBeCloseTo(0, 5);
      expect(transfer(1)).toBeCloseTo(1, 2);
      for (let n = 1; n <= 100; n += 1) {
        expect(transfer(n / 100)).toBeGreaterThanOrEqual(transfer((n - 1) / 100));
      }
    }
  });
});

it('transparency is rounded to the nearest value', async () => {
  const samples = Array.from({ length: 256 * 8 }, (_, n) => [
    n >> 3,
    255 - (n >> 3),
    77,
    (n * 37) % 256,
  ]).flat();
  const { data } = await decodeImage(png({ width: 256, height: 8, bitDepth: 8, colourType: 6, samples }), {
    background: '#102030',
  });
  const background = [0x10, 0x20, 0x30];
  for (let n = 0; n < 256 * 8; n += 1) {
    const alpha = samples[n * 4 + 3] ?? 0;
    const right = background.map((under, c) =>
      Math.round(((samples[n * 4 + c] ?? 0) * alpha + under * (255 - alpha)) / 255),
    );
    expect([...data.subarray(n * 3, n * 3 + 3)]).toEqual(right);
  }
});
