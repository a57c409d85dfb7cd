import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import * as prepare from '../../../src/inference/pictures/prepare.ts';

import { bicubic, box, resizePillow } from '../../../src/inference/pictures/resize.ts';
import { toSquare } from '../../../src/inference/pictures/resize-antialiased.ts';
import { floats, makePixels, maxDifference, readGolden } from '../../helpers/golden-numerics.ts';
import { bilinear, centerCropWide, lanczos, prepareAsReference } from '../../helpers/reference-crop.ts';

const { prepareImage, resizeToCover } = prepare;
const kernels = { box, bilinear, bicubic, lanczos };

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

describe('resizePillow', () => {
  const golden =
    readGolden<
      {
        from: [number, number];
        to: [number, number];
        filter: keyof typeof kernels;
        box: [number, number, number, number] | null;
        sha256: string;
      }[]
    >('resized.json');

  it.each(golden)('$from to $to, $filter, box $box: every pixel is that of Pillow', (entry) => {
    const image = makePixels(...entry.from);
    const [left, top, right, bottom] = entry.box ?? [0, 0, ...entry.from];
    const result = resizePillow(image, ...entry.to, kernels[entry.filter], { left, top, right, bottom });
    expect([result.width, result.height]).toEqual(entry.to);
    expect(sha256(result.data)).toBe(entry.sha256);
    expect(sha256(image.data)).toBe(sha256(makePixels(...entry.from).data));
  });

  it('gives a copy when there is nothing to do', () => {
    const image = makePixels(9, 9);
    const result = resizePillow(image, 9, 9, lanczos);
    expect(result).toEqual(image);
    expect(result.data).not.toBe(image.data);
  });
});

describe('prepareImage', () => {
  const golden =
    readGolden<
      {
        from: [number, number];
        to: [number, number];
        encoderSize: number;
        mean: [number, number, number];
        std: [number, number, number];
        squareSha256: string;
        pictureSha256: string;
        pixelValues: string;
        vaeSample: string;
      }[]
    >('prepared.json');

  it.each(golden)(
    '$from to $to, cropped as the reference does: what the reference feeds its encoders',
    (entry) => {
      const image = makePixels(...entry.from);
      const [width, height] = entry.to;
      const { encoderSize, mean, std } = entry;
      expect(sha256(centerCropWide(image, width, height).data)).toBe(entry.pictureSha256);
      const square = resizePillow(centerCropWide(image, width, width), encoderSize, encoderSize, bilinear);
      expect(sha256(square.data)).toBe(entry.squareSha256);

      const options = { width, height, encoderSize, mean, std };
      const { pixelValues, vaeSample } = prepareAsReference(image, options, prepare);
      expect(pixelValues.dims).toEqual([1, 3, encoderSize, encoderSize]);
      expect(vaeSample.dims).toEqual([1, 3, height, width]);
      const thin = ({ data }: { data: Float32Array }) => {
        const stride = Math.max(Math.floor(data.length / 50), 1);
        return data.filter((_, i) => i % stride === 0);
      };
      expect(maxDifference(thin(pixelValues), floats(entry.pixelValues))).toBeLessThanOrEqual(5e-7);
      expect(maxDifference(thin(vaeSample), floats(entry.vaeSample))).toBeLessThanOrEqual(1e-7);
    },
  );

  it('fills the frame where the reference leaves a black column and row', () => {
    const white = { width: 1024, height: 1024, data: new Uint8Array(1024 * 1024 * 3).fill(255) };
    const options = { width: 1280, height: 704, encoderSize: 224, mean: [0, 0, 0], std: [1, 1, 1] } as const;
    const compat = prepareAsReference(white, options, prepare);
    expect(compat.vaeSample.data.filter((value) => value < 0).length).toBeGreaterThan(0);
    const fixed = prepareImage(white, options);
    expect(fixed.vaeSample.data.every((value) => value === 1)).toBe(true);
    expect(fixed.pixelValues.data.every((value) => value === 1)).toBe(true);
  });

  it.each([
    [451, 300, 512, 320],
    [300, 451, 512, 320],
    [2000, 1500, 256, 192],
    [9, 8, 64, 64],
    [5000, 8, 64, 64],
    [8, 5000, 256, 128],
    [1023, 577, 1280, 704],
  ])('fills any frame: %d x %d to %d x %d', (fromWidth, fromHeight, width, height) => {
    const data = new Uint8Array(fromWidth * fromHeight * 3).fill(200);
    const options = { encoderSize: 32, mean: [0, 0, 0], std: [1, 1, 1] } as const;
    const prepared = prepareImage(
      { width: fromWidth, height: fromHeight, data },
      { ...options, width, height },
    );
    expect(prepared.vaeSample.data).toHaveLength(3 * width * height);
    expect(prepared.vaeSample.data.every((value) => Math.abs(value - (400 / 255 - 1)) < 1e-6)).toBe(true);
  });

  it('keeps the centre in the centre', () => {
    // Red left of the middle, blue right of it, and a green line along the horizontal middle.
    const width = 600;
    const height = 401;
    const image = { width, height, data: new Uint8Array(width * height * 3) };
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        image.data.set(y === 200 ? [0, 255, 0] : x < 300 ? [255, 0, 0] : [0, 0, 255], (y * width + x) * 3);
      }
    }
    const { data } = resizeToCover(image, 64, 65);
    const pixel = (x: number, y: number) => [...data.subarray((y * 64 + x) * 3, (y * 64 + x) * 3 + 3)];
    expect(pixel(10, 10)).toEqual([255, 0, 0]);
    expect(pixel(53, 54)).toEqual([0, 0, 255]);
    for (let y = 0; y < 65; y += 1) {
      expect(pixel(31, y)[0]).toBe(pixel(32, y)[2]); // mirrored about the middle
    }
    expect(pixel(5, 32)[1]).toBeGreaterThan(pixel(5, 31)[1] ?? 0);
    expect(pixel(5, 31)).toEqual(pixel(5, 33));
  });
});

describe('toSquare', () => {
  const golden =
    readGolden<
      {
        from: [number, number];
        mean: [number, number, number];
        std: [number, number, number];
        pixelValues: string;
      }[]
    >('antialiased.json');

  it.each(golden)(
    '$from: what Stable Video Diffusion feeds its image encoder',
    ({ from, mean, std, pixelValues }) => {
      const { data, dims } = toSquare(makePixels(...from), { encoderSize: 224, mean, std });
      expect(dims).toEqual([1, 3, 224, 224]);
      const stride = Math.floor(data.length / 400);
      const thin = data.filter((_, i) => i % stride === 0);
      expect(maxDifference(thin, floats(pixelValues))).toBeLessThanOrEqual(1e-5);
    },
  );
});
