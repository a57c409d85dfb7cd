import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseWorkingSize, parseSize, passageOf } from '../../src/request/size.ts';
import { cutOf } from '../../src/request/sizes.ts';

const i2vgenXl = {
  sizeMultiple: 64,
  limits: { side: { min: 256, max: 1280 }, pixels: { min: 256 * 256, max: 1024 * 1024 } },
};
const small = {
  sizeMultiple: 16,
  limits: { side: { min: 128, max: 512 }, pixels: { min: 128 * 128, max: 512 * 512 } },
};

describe('chooseWorkingSize', () => {
  it.each([
    ['square', 1024, 1024, 512, i2vgenXl, 512, 512],
    ['4:3', 640, 480, 512, i2vgenXl, 576, 448],
    ['3:4', 480, 640, 512, i2vgenXl, 448, 576],
    ['16:9', 1920, 1080, 704, i2vgenXl, 896, 512],
    ['9:16', 1080, 1920, 704, i2vgenXl, 512, 896],
    ['3:2 on a fine grid', 451, 300, 256, small, 320, 208],
    ['square at the largest', 3000, 3000, 512, small, 512, 512],
    ['16:9 at the largest', 3840, 2160, 512, small, 512, 288],
    ['panorama', 4000, 1000, 512, i2vgenXl, 1024, 256],
    ['panorama on a fine grid', 4000, 1000, 256, small, 512, 128],
    ['tower', 1000, 4000, 512, i2vgenXl, 256, 1024],
    ['panorama, cut where the model ends', 10_000, 500, 256, small, 512, 128],
    ['tower, cut where the model ends', 500, 10_000, 256, small, 128, 512],
    ['tiny', 8, 8, 256, small, 256, 256],
  ])('%s', (_, imageWidth, imageHeight, size, limits, width, height) => {
    expect(chooseWorkingSize({ imageWidth, imageHeight, size, ...limits })).toEqual({ width, height });
  });

  it('stays inside the limits for every picture, turns with it, and keeps area and shape', () => {
    const side = fc.integer({ min: 8, max: 20_000 });
    fc.assert(
      fc.property(side, side, fc.integer({ min: 256, max: 1024 }), (imageWidth, imageHeight, size) => {
        const { width, height } = chooseWorkingSize({ imageWidth, imageHeight, size, ...i2vgenXl });
        for (const value of [width, height]) {
          expect(value % 64).toBe(0);
          expect(value).toBeGreaterThanOrEqual(256);
          expect(value).toBeLessThanOrEqual(1280);
        }
        expect(width * height).toBeLessThanOrEqual(1024 * 1024);
        const turned = chooseWorkingSize({
          imageWidth: imageHeight,
          imageHeight: imageWidth,
          size,
          ...i2vgenXl,
        });
        if (imageWidth !== imageHeight) expect(turned).toEqual({ width: height, height: width });
        const ratio = Math.min(Math.max(imageWidth / imageHeight, 1 / 2), 2);
        if (ratio > 0.5 && ratio < 2 && size >= 384) {
          expect(Math.abs(Math.log(width / height / ratio))).toBeLessThan(0.17);
          expect(Math.abs(Math.log((width * height) / size ** 2))).toBeLessThan(0.35);
        }
      }),
      { seed: 7, numRuns: 2000 },
    );
  });

  it('refuses a size outside the limits with the range', () => {
    const choose = (size: number) => chooseWorkingSize({ imageWidth: 100, imageHeight: 100, size, ...small });
    for (const size of [127, 513, Number.NaN]) {
      expect(() => choose(size)).toThrow(`The size is ${size}; expected a number from 128 to 512.`);
    }
  });

  it('says so when a pack allows nothing', () => {
    const limits = { ...small, sizeMultiple: 1000 };
    const choose = () => chooseWorkingSize({ imageWidth: 100, imageHeight: 100, size: 256, ...limits });
    expect(choose).toThrow(expect.objectContaining({ code: 'PACK_INVALID' }));
  });
});

describe('parseSize', () => {
  it('reads one number or two', () => {
    expect(parseSize('512', small)).toEqual({ size: 512 });
    expect(parseSize(' 300 ', small)).toEqual({ size: 300 });
    expect(parseSize('480x320', small)).toEqual({ width: 480, height: 320 });
    expect(parseSize('480 X 320', small)).toEqual({ width: 480, height: 320 });
    expect(parseSize('480×320', small)).toEqual({ width: 480, height: 320 });
  });

  it.each([
    ['1024', small, /The size is 1024; expected a number from 128 to 512\./],
    ['12', small, /from 128 to 512/],
    ['', small, /The size is ""; expected one number such as 512, or width x height/],
    ['big', small, /"big"/],
    ['-512', small, /"-512"/],
    ['1e9', small, /"1e9"/],
    ['512x', small, /"512x"/],
    ['99999999', small, /expected one number/],
    ['500x320', small, /500x320; expected multiples of 16 from 128 to 512, and 16384 to 262144 pixels/],
    ['640x320', small, /640x320; expected multiples of 16 from 128 to 512/],
    ['1280x1280', i2vgenXl, /1280x1280; expected .* 65536 to 1048576 pixels in all/],
    ['x'.repeat(10_000), small, /"x{40}"/],
  ])('refuses %.20s', (text, limits, message) => {
    const refusal = { code: 'INVALID_OPTION', message: expect.stringMatching(message) };
    expect(() => parseSize(text, limits)).toThrow(expect.objectContaining(refusal));
  });
});

describe('passageOf', () => {
  const model = {
    sizeMultiple: 16,
    limits: { side: { min: 128, max: 2048 }, pixels: { min: 128 * 128, max: 1024 * 1024 } },
  };

  it.each([
    ['a photo', [3000, 2000], '588', undefined],
    ['one of 21:9', [2100, 900], '588', [768, 432], [1008, 432]],
    ['a panorama', [4000, 1000], '588', [768, 432], [1728, 432]],
    ['a tower', [1000, 4000], '588', [432, 768], [432, 1728]],
    ['the same at the largest size, which has to be a little lower', [12_000, 1000], '1024', [736, 416]],
    ['a chosen shape that shows all of a photo', [3000, 2000], '640x480', undefined],
    ['a chosen shape that is narrower than a photo', [3000, 2000], '288x512', [288, 512], [768, 512]],
    ['a chosen shape that is too high for the panorama', [30_000, 1000], '1024x1024', undefined],
  ] as const)('%s', (_, [width, height], text, frame, picture?) => {
    const passage = passageOf(model, text, { width, height });
    const of = ([wide, high]: readonly [number, number]) => ({ width: wide, height: high });
    expect(passage?.frame).toEqual(frame && of(frame));
    if (picture) expect(passage?.picture).toEqual(of(picture));
  });

  it('keeps the shape of the picture, shows all of its short side, and holds no more than two large clips', () => {
    const side = fc.integer({ min: 1, max: 40_000 });
    fc.assert(
      fc.property(side, side, fc.integer({ min: 128, max: 1024 }), (width, height, size) => {
        const passage = passageOf(model, String(size), { width, height });
        if (!passage) return;
        const { frame, picture } = passage;
        const isWide = width > height;
        expect(isWide ? picture.height : picture.width).toBe(isWide ? frame.height : frame.width);
        expect(isWide ? picture.width : picture.height).toBeGreaterThan(isWide ? frame.width : frame.height);
        expect(picture.width * picture.height).toBeLessThan(2.5 * 1024 ** 2);
        expect(cutOf({ width, height }, picture)).toBeUndefined();
      }),
    );
  });
});

describe('cutOf', () => {
  it.each([
    ['nothing', [4000, 1000], [1024, 256], undefined],
    ['a little, which nobody misses', [1920, 1080], [896, 512], undefined],
    ['the ends of a panorama', [10_000, 500], [512, 128], { of: 'width', percent: 80 }],
    ['the ends of a tower', [500, 10_000], [128, 512], { of: 'height', percent: 80 }],
    ['the sides for a square that was asked for', [1600, 1000], [512, 512], { of: 'width', percent: 38 }],
  ] as const)('%s', (_, [width, height], [clipWidth, clipHeight], cut) => {
    expect(cutOf({ width, height }, { width: clipWidth, height: clipHeight })).toEqual(cut);
  });
});
