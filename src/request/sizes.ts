/** Sizes as people write them, and the size of a clip of a picture. Imports only types: the studio page has it, too. */
import type { Range } from './ranges.ts';

/** What a model can make. */
export interface SizeLimits {
  /** Width and height are multiples of this. */
  readonly sizeMultiple: number;
  readonly limits: {
    /** Of width and of height, each. */
    readonly side: Range;
    /** Of width × height. */
    readonly pixels: Range;
  };
}

export interface WorkingSize {
  readonly width: number;
  readonly height: number;
}

/** A wrong aspect ratio cuts the picture; a wrong area only costs or saves some time. */
const aspectWeight = 2;

/**
 * The size of about `size`² pixels that best keeps the picture's aspect ratio; undefined where the model allows none.
 * @param size side of the square whose area the clip's size approaches
 */
export function bestSize(picture: WorkingSize, size: number, model: SizeLimits): WorkingSize | undefined {
  const aspectRatio = picture.width / picture.height;
  let best: WorkingSize | undefined;
  let bestCost = Infinity;
  const sides = allowedSides(model);
  for (const width of sides) {
    for (const height of sides) {
      if (!isBetween(width * height, model.limits.pixels)) continue;
      const aspectCost = Math.abs(Math.log(width / height / aspectRatio));
      const areaCost = Math.abs(Math.log((width * height) / size ** 2));
      const cost = aspectWeight * aspectCost + areaCost;
      if (cost < bestCost) {
        best = { width, height };
        bestCost = cost;
      }
    }
  }
  return best;
}

/** "512" or "640x384" as it is written; undefined for anything else. One number is both sides of a square. */
export function readSize(text: string): (WorkingSize & { readonly isSquare: boolean }) | undefined {
  const [, width, height] = /^\s*(\d{1,6})\s*(?:[x×]\s*(\d{1,6})\s*)?$/i.exec(text) ?? [];
  if (width === undefined) return undefined;
  return { width: Number(width), height: Number(height ?? width), isSquare: height === undefined };
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

function allowedSides({ sizeMultiple, limits: { side } }: SizeLimits): number[] {
  const first = Math.ceil(side.min / sizeMultiple);
  const last = Math.floor(side.max / sizeMultiple);
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, i) => (first + i) * sizeMultiple);
}

export function isBetween(value: number, { min, max }: Range): boolean {
  return value >= min && value <= max;
}
