import { describe, expect, it } from 'vitest';
import type { Frame, RgbImage } from '../../../src/inference/image-to-video.ts';
import { motionWeights, moveInside } from '../../../src/inference/pictures/motion-mask.ts';

const size = { width: 100, height: 60 };

function picture(width: number, height: number, brightness: (x: number, y: number) => number): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data.fill(brightness(x, y), (y * width + x) * 3, (y * width + x) * 3 + 3);
  }
  return { width, height, data };
}
const leftHalf = picture(200, 120, (x) => (x < 100 ? 255 : 0));

describe('motionWeights', () => {
  it('moves what is white and nothing that is black, with a border as wide as a fiftieth of the short side', () => {
    const weights = motionWeights(leftHalf, { width: 400, height: 240 }, size);
    const row = [...weights.subarray(30 * size.width, 31 * size.width)];
    expect(row.slice(0, 46)).toEqual(Array(46).fill(255));
    expect(row.slice(54)).toEqual(Array(46).fill(0));
    expect(row[49]).toBeGreaterThan(row[50] as number);
    expect(row.slice(46, 54)).toEqual([...row.slice(46, 54)].sort((a, b) => b - a));
  });

  it('is cut to the shape of the clip as its picture is', () => {
    // A tall clip of a wide picture shows its middle.
    const middle = picture(300, 100, (x) => (x >= 100 && x < 200 ? 255 : 0));
    const weights = motionWeights(middle, { width: 900, height: 300 }, { width: 50, height: 50 });
    expect(weights.subarray(25 * 50 + 5, 25 * 50 + 45)).toEqual(new Uint8Array(40).fill(255));
  });

  it('refuses another shape and a mask without white, and says what is expected', () => {
    const square = picture(64, 64, () => 255);
    expect(() => motionWeights(square, { width: 400, height: 240 }, size)).toThrowError(
      'The mask has 64 x 64 pixels and its picture 400 x 240; expected the same shape.',
    );
    const black = picture(200, 120, () => 20);
    expect(() => motionWeights(black, { width: 400, height: 240 }, size)).toThrowError(
      'The mask is black everywhere, so nothing would move; expected white where it may.',
    );
    // A canvas is rounded to whole pixels.
    expect(() => motionWeights(leftHalf, { width: 401, height: 239 }, size)).not.toThrow();
  });
});

describe('moveInside', () => {
  async function* clip(still?: Uint8Array): AsyncGenerator<Frame> {
    for (const [index, value] of [10, 110, 210].entries()) {
      const first = index === 0 && still ? { still } : {};
      yield { index, width: 3, height: 1, data: new Uint8Array(9).fill(value), ...first };
    }
  }

  it('lets each pixel leave the first frame by its weight', async () => {
    const seen: number[][] = [];
    for await (const { data } of moveInside(clip(), Promise.resolve(Uint8Array.of(0, 128, 255)))) {
      seen.push([...data]);
    }
    expect(seen).toEqual([
      [10, 10, 10, 10, 10, 10, 10, 10, 10],
      [10, 10, 10, 60, 60, 60, 110, 110, 110],
      [10, 10, 10, 110, 110, 110, 210, 210, 210],
    ]);
  });

  it('holds all frames to what the first one brings, also behind an earlier clip', async () => {
    const still = new Uint8Array(9).fill(60);
    const before = Promise.resolve(new Uint8Array(9).fill(90));
    const seen: number[][] = [];
    for await (const { data } of moveInside(
      clip(still),
      Promise.resolve(Uint8Array.of(0, 128, 255)),
      before,
    )) {
      seen.push([...data]);
    }
    expect(seen).toEqual([
      [60, 60, 60, 35, 35, 35, 10, 10, 10],
      [60, 60, 60, 85, 85, 85, 110, 110, 110],
      [60, 60, 60, 135, 135, 135, 210, 210, 210],
    ]);
  });
});
