/** Which width and height a clip of a picture gets, and what people may ask for. */
import { describeSizeLimits } from '../error-details.ts';
import { KinoraError } from '../errors.ts';
import { bestSize, isBetween, readSize, type SizeLimits, type WorkingSize } from './sizes.ts';

/** A clip that passes along its picture: the size of its frames, and the picture's own beside it, of the same short side. */
export interface Passage {
  readonly frame: WorkingSize;
  readonly picture: WorkingSize;
}

/** From this shape on a pan passes along a picture, rather than showing all of it at once. */
const panoramaFrom = 2.2;
/** How much longer than the frames a picture is at least, where their size was chosen. */
const passageFrom = 1.2;
const usualShape = { width: 16, height: 9 } as const;
/** Of the pixels of the largest clip: a picture is held once, a clip for each frame. */
const largestPicture = 2;

type WorkingSizeOptions = SizeLimits & {
  readonly imageWidth: number;
  readonly imageHeight: number;
  /** Side of the square whose area the working size approaches. */
  readonly size: number;
};

/**
 * The allowed size that best keeps the picture's aspect ratio at about size² pixels.
 * Throws INVALID_OPTION with the range for a size outside the limits.
 */
export function chooseWorkingSize(options: WorkingSizeOptions): WorkingSize {
  const { imageWidth: width, imageHeight: height } = options;
  const best = bestSize({ width, height }, checkSquare(options.size, options), options);
  if (best === undefined) {
    throw new KinoraError(
      'PACK_INVALID',
      `The model pack allows no size at all: ${describeSizeLimits(asDetail(options))}.`,
    );
  }
  return best;
}

/** Reads `512` (a size to approach) or `640x384` (exactly this). Throws INVALID_OPTION with what is allowed. */
export function parseSize(text: string, model: SizeLimits): { readonly size: number } | WorkingSize {
  const read = readSize(text);
  if (!read) throw new KinoraError('INVALID_OPTION', { kind: 'sizeForm', got: text.slice(0, 40) });
  const { width, height, isSquare } = read;
  if (isSquare) return { size: checkSquare(width, model) };
  if (isAllowed(width, model) && isAllowed(height, model) && isBetween(width * height, model.limits.pixels)) {
    return { width, height };
  }
  throw new KinoraError('INVALID_OPTION', { kind: 'sizeLimits', width, height, ...asDetail(model) });
}

/**
 * The size of a clip of this picture, when `text` was asked for.
 * @throws KinoraError INVALID_OPTION with what is allowed
 */
export function workingSize(
  model: SizeLimits,
  text: string,
  picture: { readonly width: number; readonly height: number },
): WorkingSize {
  const parsed = parseSize(text, model);
  if ('width' in parsed) return parsed;
  const { sizeMultiple, limits } = model;
  const { width: imageWidth, height: imageHeight } = picture;
  return chooseWorkingSize({ sizeMultiple, limits, imageWidth, imageHeight, size: parsed.size });
}

/**
 * How a clip of this picture passes along it, if its prompt pans or tilts; undefined where the frames show all of it.
 * @param text as workingSize() takes it
 */
export function passageOf(model: SizeLimits, text: string, picture: WorkingSize): Passage | undefined {
  const { sizeMultiple, limits } = model;
  const length = picture.width / picture.height;
  const isWide = length > 1;
  const ratio = isWide ? length : 1 / length;
  const most = largestPicture * limits.pixels.max;
  const parsed = parseSize(text, model);
  if (!('width' in parsed) && ratio < panoramaFrom) return undefined;
  const { width, height } = usualShape;
  // The longer the picture is, the lower it has to be.
  const size = (asked: number): number => Math.min(asked, Math.sqrt((most * width) / height / ratio));
  const frame =
    'width' in parsed
      ? parsed
      : bestSize(isWide ? { width, height } : { width: height, height: width }, size(parsed.size), model);
  if (!frame) return undefined;
  const short = isWide ? frame.height : frame.width;
  const long = Math.round((short * ratio) / sizeMultiple) * sizeMultiple;
  if (long < passageFrom * (isWide ? frame.width : frame.height) || short * long > 1.2 * most)
    return undefined;
  return { frame, picture: isWide ? { width: long, height: short } : { width: short, height: long } };
}

/** The side of a square inside the limits, unchanged. */
function checkSquare(size: number, { limits: { side, pixels } }: SizeLimits): number {
  const min = Math.max(side.min, Math.ceil(Math.sqrt(pixels.min)));
  const max = Math.min(side.max, Math.floor(Math.sqrt(pixels.max)));
  if (size >= min && size <= max) return size;
  const outside = { kind: 'outOfRange', what: 'size', min, max, isWhole: false, got: size } as const;
  throw new KinoraError('INVALID_OPTION', outside);
}

function isAllowed(side: number, { sizeMultiple, limits }: SizeLimits): boolean {
  return side % sizeMultiple === 0 && isBetween(side, limits.side);
}

function asDetail({ sizeMultiple: multiple, limits: { side, pixels } }: SizeLimits) {
  return { multiple, side, pixels };
}
