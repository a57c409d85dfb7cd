/**
 * The crop of the reference: diffusers rounds the scaled size down and can leave a black last column or row. Kinora
 * fills the frame instead, so the golden numbers need this. Feeds both encoders from the centre of the same picture.
 */
import type { RgbImage } from '../../src/inference/image-to-video.ts';
import type { PreparedImage, PrepareImageOptions } from '../../src/inference/pictures/prepare.ts';
import { box, type Kernel, resizePillow } from '../../src/inference/pictures/resize.ts';

type Prepare = typeof import('../../src/inference/pictures/prepare.ts');

/** Filters that only the reference or its golden numbers use. */
export const bilinear: Kernel = { support: 1, weight: (x) => Math.max(1 - Math.abs(x), 0) };
export const lanczos: Kernel = {
  support: 3,
  weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0),
};

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/** Pixels of the pictures that withReferenceCrop() crops as the reference does. */
const referencePixels = new WeakSet<Uint8Array>();

export function cropAsReference<Image extends RgbImage>(image: Image): Image {
  referencePixels.add(image.data);
  return image;
}

/** For vi.mock of prepare.ts. */
export function withReferenceCrop(prepare: Prepare): Prepare {
  const prepareImage = (image: RgbImage, options: PrepareImageOptions): PreparedImage =>
    referencePixels.has(image.data)
      ? prepareAsReference(image, options, prepare)
      : prepare.prepareImage(image, options);
  return { ...prepare, prepareImage };
}

export function prepareAsReference(
  image: RgbImage,
  options: PrepareImageOptions,
  { toPixelValues, toVaeSample }: Pick<Prepare, 'toPixelValues' | 'toVaeSample'>,
): PreparedImage {
  const { width, height, encoderSize } = options;
  // (width, width), as the reference does: not (width, height)
  const square = resizePillow(centerCropWide(image, width, width), encoderSize, encoderSize, bilinear);
  return {
    pixelValues: toPixelValues(square, options),
    vaeSample: toVaeSample(centerCropWide(image, width, height)),
  };
}

/** diffusers' `_center_crop_wide`: pixels that the crop takes from outside the picture are black. */
export function centerCropWide(image: RgbImage, width: number, height: number): RgbImage {
  const scale = Math.min(image.width / width, image.height / height);
  const scaledWidth = Math.max(floorDivide(image.width, scale), 1);
  const scaledHeight = Math.max(floorDivide(image.height, scale), 1);
  const scaled = resizePillow(image, scaledWidth, scaledHeight, box);
  const left = Math.floor((scaledWidth - width) / 2); // -1 when rounding left too little
  const top = Math.floor((scaledHeight - height) / 2);
  const data = new Uint8Array(width * height * 3);
  const firstColumn = Math.max(left, 0);
  const lastColumn = Math.min(left + width, scaledWidth);
  for (let y = Math.max(top, 0); y < Math.min(top + height, scaledHeight); y += 1) {
    const row = y * scaledWidth;
    const pixels = scaled.data.subarray((row + firstColumn) * 3, (row + lastColumn) * 3);
    data.set(pixels, ((y - top) * width + firstColumn - left) * 3);
  }
  return { width, height, data };
}

/** Python's `a // b` of positive floats: the remainder is exact, so that no rounded quotient is rounded down twice. */
function floorDivide(a: number, b: number): number {
  const quotient = (a - (a % b)) / b;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}
