/** Which width and height a clip of a picture gets, and what people may ask for. Knows no model: limits are given. */
import { describeSizeLimits } from '../error-details.ts';
import { KinoraError } from '../errors.ts';

/** Both ends included. */
interface Range {
  readonly min: number;
  readonly max: number;
}

/** What a model pack can make. */
export interface SizeLimits {
  /** Width and height are multiples of this. */
  readonly sizeMultiple: number;
  /** Of width and of height, each. */
  readonly sideRange: Range;
  /** Of width × height. */
  readonly pixelsRange: Range;
}

export interface WorkingSize {
  readonly width: number;
  readonly height: number;
}

interface WorkingSizeOptions extends SizeLimits {
  readonly imageWidth: number;
  readonly imageHeight: number;
  /** Side of the square whose area the working size approaches. */
  readonly size: number;
}

/** Longer panoramas are cut to this on both ends: models know nothing wider, and the short side would get tiny. */
const maxAspectRatio = 3;
/** A wrong aspect ratio cuts the picture; a wrong area only costs or saves some time. */
const aspectWeight = 2;

/**
 * The allowed size that best keeps the picture's aspect ratio at about size² pixels.
 * Throws INVALID_OPTION with the range for a size outside the limits.
 */
export function chooseWorkingSize(options: WorkingSizeOptions): WorkingSize {
  const { imageWidth, imageHeight, size } = options;
  const { min, max } = squareRange(options);
  if (!(size >= min && size <= max)) {
    throw new KinoraError('INVALID_OPTION', {
      kind: 'outOfRange',
      what: 'size',
      min,
      max,
      isWhole: false,
      got: size,
    });
  }
  const aspectRatio = Math.min(Math.max(imageWidth / imageHeight, 1 / maxAspectRatio), maxAspectRatio);
  let best: WorkingSize | undefined;
  let bestCost = Infinity;
  for (const width of allowedSides(options)) {
    for (const height of allowedSides(options)) {
      if (!isBetween(width * height, options.pixelsRange)) continue;
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

/** Reads `512` (a size to approach) or `640x384` (exactly this). Throws INVALID_OPTION with what is allowed. */
export function parseSize(text: string, limits: SizeLimits): { readonly size: number } | WorkingSize {
  const square = /^\s*(\d{1,6})\s*$/.exec(text);
  if (square) {
    const size = Number(square[1]);
    const { min, max } = squareRange(limits);
    if (size >= min && size <= max) return { size };
    throw new KinoraError('INVALID_OPTION', {
      kind: 'outOfRange',
      what: 'size',
      min,
      max,
      isWhole: false,
      got: size,
    });
  }
  const exact = /^\s*(\d{1,6})\s*[x×]\s*(\d{1,6})\s*$/i.exec(text);
  if (!exact) {
    throw new KinoraError('INVALID_OPTION', { kind: 'sizeForm', got: text.slice(0, 40) });
  }
  const width = Number(exact[1]);
  const height = Number(exact[2]);
  if (
    isAllowed(width, limits) &&
    isAllowed(height, limits) &&
    isBetween(width * height, limits.pixelsRange)
  ) {
    return { width, height };
  }
  throw new KinoraError('INVALID_OPTION', { kind: 'sizeLimits', width, height, ...asDetail(limits) });
}

function squareRange({ sideRange, pixelsRange }: SizeLimits): Range {
  return {
    min: Math.max(sideRange.min, Math.ceil(Math.sqrt(pixelsRange.min))),
    max: Math.min(sideRange.max, Math.floor(Math.sqrt(pixelsRange.max))),
  };
}

function allowedSides({ sizeMultiple, sideRange }: SizeLimits): number[] {
  const first = Math.ceil(sideRange.min / sizeMultiple);
  const last = Math.floor(sideRange.max / sizeMultiple);
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => (first + i) * sizeMultiple);
}

function isAllowed(side: number, { sizeMultiple, sideRange }: SizeLimits): boolean {
  return side % sizeMultiple === 0 && isBetween(side, sideRange);
}

function isBetween(value: number, { min, max }: Range): boolean {
  return value >= min && value <= max;
}

const asDetail = ({ sizeMultiple, sideRange, pixelsRange }: SizeLimits) => ({
  multiple: sizeMultiple,
  side: sideRange,
  pixels: pixelsRange,
});
