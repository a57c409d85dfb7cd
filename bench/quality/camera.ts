/**
 * What the camera of a clip did, from the parts of the picture that its frames show: MOTION.md's amplitudes read
 * backwards. The seed decides the point that a zoom goes for and a slight drift, so only what the words decide counts.
 */
import { speedOf } from '../../src/inference/pipelines/understood.ts';
import type { UnderstoodMotion } from '../../src/request/understood.ts';
import type { Similarity } from './similarity.ts';

/** MOTION.md: of a whole clip at level 1, with --motion medium. */
const zoom = 0.36;
const pan = 0.2;
const tilt = 0.2;
const turn = (13 * Math.PI) / 180;

/** Each move as people ask for it, without a speed. */
export const cameraPrompts = {
  'zoom-in': 'zoom in',
  'zoom-out': 'zoom out',
  'pan-left': 'pan left',
  'pan-right': 'pan right',
  'tilt-up': 'tilt up',
  'tilt-down': 'tilt down',
  'rotate-cw': 'rotate clockwise',
  'rotate-ccw': 'rotate counterclockwise',
} as const;

/** The camera's moves between the first and the last frame, in the order of MOTION.md. */
export function readCamera(
  first: Similarity,
  last: Similarity,
  size: { readonly width: number; readonly height: number },
): UnderstoodMotion[] {
  const short = Math.min(size.width, size.height);
  const magnified = Math.log(Math.hypot(first.a, first.b) / Math.hypot(last.a, last.b));
  const angle = Math.atan2(first.b, first.a) - Math.atan2(last.b, last.a);
  const levels = [
    ['zoom-in', magnified / zoom],
    ['zoom-out', -magnified / zoom],
    ['pan-left', (first.x - last.x) / (pan * 2 * (size.width / short))],
    ['pan-right', (last.x - first.x) / (pan * 2 * (size.width / short))],
    ['tilt-up', (first.y - last.y) / (tilt * 2 * (size.height / short))],
    ['tilt-down', (last.y - first.y) / (tilt * 2 * (size.height / short))],
    ['rotate-cw', angle / turn],
    ['rotate-ccw', -angle / turn],
  ] as const;
  const zooms = speedOf(Math.abs(magnified / zoom)) !== undefined;
  return levels.flatMap(([motion, level]) => {
    // A zoom that goes for a point shifts the picture, too.
    if (zooms && !motion.startsWith('zoom')) return [];
    const speed = speedOf(level);
    return speed ? [{ motion, speed }] : [];
  });
}
