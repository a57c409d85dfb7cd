/** Which width and height a clip of a picture gets, and what people may ask for. */
import { describeSizeLimits } from '../error-details.ts';
import { KinoraError } from '../errors.ts';
import type { ModelLimits, Range } from './model-limits.ts';

/** What a model can make. */
export type SizeLimits = Pick<ModelLimits, 'sizeMultiple'> & {
  readonly limits: Pick<ModelLimits['limits'], 'side' | 'pixels'>;
};

export interface WorkingSize {
  readonly width: number;
  readonly height: number;
}

type WorkingSizeOptions = SizeLimits & {
  readonly imageWidth: number;
  readonly imageHeight: number;
  /** Side of the square whose area the working size approaches. */
  readonly size: number;
};

/** A wrong aspect ratio cuts the picture; a wrong area only costs or saves some time. */
const aspectWeight = 2;

/**
 * The allowed size that best keeps the picture's aspect ratio at about size² pixels.
 * Throws INVALID_OPTION with the range for a size outside the limits.
 */
export function chooseWorkingSize(options: WorkingSizeOptions): WorkingSize {
  const { imageWidth, imageHeight } = options;
  const size = checkSquare(options.size, options);
  const aspectRatio = imageWidth / imageHeight;
  let best: WorkingSize | undefined;
  let bestCost = Infinity;
  for (const width of allowedSides(options)) {
    for (const height of allowedSides(options)) {
      if (!isBetween(width * height, options.limits.pixels)) continue;
      const aspectCost = Math.abs(Math.log(width / height / aspectRatio));
      const areaCost = Math.abs(Math.log((width * height) / size ** 2));
      const cost = aspectWeight * aspectCost + areaCost;
      if (cost < bestCost) {
        best = { width, height };
        bestCost = cost;
      }
    }
  }
  if (best === undefined) {
    throw new KinoraError(
      'PACK_INVALID',
      `The model pack allows no size at all: ${describeSizeLimits(asDetail(options))}.`,
    );
  }
  return best;
}

/** "512" or "640x384" as it is written; undefined for anything else. One number is both sides of a square. */
export function readSize(text: string): (WorkingSize & { readonly isSquare: boolean }) | undefined {
  const [, width, height] = /^\s*(\d{1,6})\s*(?:[x×]\s*(\d{1,6})\s*)?$/i.exec(text) ?? [];
  if (width === undefined) return undefined;
  return { width: Number(width), height: Number(height ?? width), isSquare: height === undefined };
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

/** What a clip does not show of its picture: as much on one end as on the other. */
export interface Cut {
  readonly of: 'width' | 'height';
  /** Whole, of the picture's width or height. */
  readonly percent: number;
}

/** Sizes are multiples of a number, so a little is cut of most pictures. */
const leastCutPercent = 10;

/** Undefined for nothing, and for so little that nobody misses it. */
export function cutOf(picture: WorkingSize, clip: WorkingSize): Cut | undefined {
  const wider = picture.width / picture.height / (clip.width / clip.height);
  const percent = Math.round(100 * (1 - Math.min(wider, 1 / wider)));
  if (percent < leastCutPercent) return undefined;
  return { of: wider > 1 ? 'width' : 'height', percent };
}

/** The side of a square inside the limits, unchanged. */
function checkSquare(size: number, { limits: { side, pixels } }: SizeLimits): number {
  const min = Math.max(side.min, Math.ceil(Math.sqrt(pixels.min)));
  const max = Math.min(side.max, Math.floor(Math.sqrt(pixels.max)));
  if (size >= min && size <= max) return size;
  const outside = { kind: 'outOfRange', what: 'size', min, max, isWhole: false, got: size } as const;
  throw new KinoraError('INVALID_OPTION', outside);
}

function allowedSides({ sizeMultiple, limits: { side } }: SizeLimits): number[] {
  const first = Math.ceil(side.min / sizeMultiple);
  const last = Math.floor(side.max / sizeMultiple);
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => (first + i) * sizeMultiple);
}

function isAllowed(side: number, { sizeMultiple, limits }: SizeLimits): boolean {
  return side % sizeMultiple === 0 && isBetween(side, limits.side);
}

function isBetween(value: number, { min, max }: Range): boolean {
  return value >= min && value <= max;
}

function asDetail({ sizeMultiple: multiple, limits: { side, pixels } }: SizeLimits) {
  return { multiple, side, pixels };
}
