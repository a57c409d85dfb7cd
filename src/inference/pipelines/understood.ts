/**
 * What the model understood of the prompt. The unet_cond of a pack whose manifest names its motions says so in the last
 * row of its context: [1, i] is the level of motion i in the clip, and [1, askedOffset + i] the level that was asked for.
 */
import { KinoraError } from '../../errors.ts';
import type { MotionKind, MotionSpeed } from '../../request/motions.ts';
import type { Understood, UnderstoodMotion } from '../../request/understood.ts';
import type { FloatTensor } from '../sessions/tensor.ts';

const levelsToken = 1;
const askedOffset = 64;

/** Halfway between the levels 0, 0.35, 0.65 and 1: the numbers of a GPU are not exact. */
const speedsFrom: readonly (readonly [number, MotionSpeed])[] = [
  [0.825, 'fast'],
  [0.5, 'normal'],
  [0.175, 'slow'],
];

/** Undefined for what is absent. */
export function speedOf(level: number): MotionSpeed | undefined {
  return speedsFrom.find(([from]) => level >= from)?.[1];
}

/**
 * @param context (B, T, X)
 * @throws KinoraError PACK_INVALID for a context without room for the levels
 */
export function readUnderstood(
  motions: readonly MotionKind[],
  { data, dims: [rows = 0, tokens = 0, width = 0] }: FloatTensor,
): Understood {
  if (tokens <= levelsToken || width < askedOffset + motions.length) {
    const shape = `${tokens} × ${width}`;
    throw new KinoraError(
      'PACK_INVALID',
      `The manifest names ${motions.length} motions, but the context of unet_cond, ${shape}, has no room for their levels; expected at least 2 × ${askedOffset + motions.length}.`,
    );
  }
  const start = ((rows - 1) * tokens + levelsToken) * width;
  const levels = (offset: number): UnderstoodMotion[] =>
    motions.flatMap((motion, i) => {
      const speed = speedOf(data[start + offset + i] ?? 0);
      return speed ? [{ motion, speed }] : [];
    });
  return { asked: levels(askedOffset), done: levels(0) };
}
