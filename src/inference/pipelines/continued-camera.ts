/**
 * Where the camera of a drawn clip goes on when the clip is continued. The words say how it moves, as in a clip of their
 * own; it sets out from the view and at the speed with which the earlier clip ended, and stays inside the picture: where
 * little room is left it slows down, and at an edge it turns round. Pure numbers. Lengths are in half short sides of the
 * picture, times in clips.
 */
import { z } from 'zod';
import type { FloatTensor } from '../sessions/tensor.ts';

/** Logarithm of the magnification, centre x and y, angle in radians. */
export const cameraViewSchema = z.tuple([z.number(), z.number(), z.number(), z.number()]);
export type CameraView = z.output<typeof cameraViewSchema>;
/** By how much two views differ. */
type Motion = CameraView;

/** How a clip ended: its last view, and how that differs from the one before. */
export const cameraEndSchema = z.object({ view: cameraViewSchema, perFrame: cameraViewSchema });
export type CameraEnd = z.output<typeof cameraEndSchema>;

export interface Halves {
  readonly x: number;
  readonly y: number;
}

export interface ContinuedCamera {
  /** (F, 4): magnification, centre x and y, angle of each frame, as unet_cond takes them */
  readonly views: FloatTensor;
  readonly end: CameraEnd;
}

/** What a picture of the usual size can be enlarged without looking soft. */
const largestZoom = Math.log(3);
const largestAngle = Math.PI / 6;
/** How fast the camera takes up its course, in 1 / clip: after a fifth of a clip it has. */
const eagerness = 14;
/** With less than this share of the way ahead free, the camera turns round. */
const leastRoom = 0.25;
const stepsPerClip = 512;

/** @param path (S, 4): the views of a clip at S evenly spaced positions from its first frame to its last */
export function cameraEnd(path: FloatTensor, numFrames: number): CameraEnd {
  const views = motionsOf(path);
  // A clip of one frame shows the start.
  const last = numFrames > 1 ? views.length - 1 : 0;
  const at = (i: number): Motion => views[Math.max(i, 0)] ?? [0, 0, 0, 0];
  const step = 1 / (views.length - 1);
  const perFrame = map4((axis) => {
    if (numFrames < 2) return 0;
    const slope = (3 * at(last)[axis] - 4 * at(last - 1)[axis] + at(last - 2)[axis]) / (2 * step);
    return slope / (numFrames - 1);
  });
  return { view: at(last), perFrame };
}

/** @param path as cameraEnd() takes it */
export function cameraStart(path: FloatTensor): CameraView {
  return motionsOf(path)[0] ?? [0, 0, 0, 0];
}

/** (1, 4), as unet_cond takes it */
export function viewOf([zoom, ...others]: CameraView): Float32Array {
  return Float32Array.of(Math.exp(zoom), ...others);
}

/**
 * @param path (S, 4): the views of a clip of its own that has the same words
 * @param half sides of the picture
 * @param seen half sides of the frames, at magnification 1
 */
export function continueCamera(
  start: CameraEnd,
  path: FloatTensor,
  numFrames: number,
  half: Halves,
  seen: Halves,
): ContinuedCamera {
  const own = motionsOf(path);
  const stepsPerFrame = Math.ceil(stepsPerClip / numFrames);
  const steps = stepsPerFrame * numFrames;
  const first = own[0] ?? start.view;
  /** How far the clip of its own has moved, in its own directions. */
  const moved = Array.from({ length: steps + 1 }, (_, i) => {
    const now = between(own, i / steps);
    return map4((axis) => now[axis] - first[axis]);
  });
  const [zoom0, x0, y0, angle0] = start.view;
  const follow = (axis: 0 | 1 | 2 | 3, target: readonly number[]): number[] =>
    followed(target, start.view[axis], start.perFrame[axis] * numFrames);

  const turned = moved.map(([, , , angle]) => angle);
  const angles = follow(
    3,
    withinWalls(angle0, turned, () => Math.max(largestAngle, Math.abs(angle0))),
  );

  // The least magnification at which a frame of that angle lies inside the picture, and what the words' own way needs.
  const leastZoom = angles.map((angle) => Math.log(Math.max(...reach(angle, seen, half))));
  const usual = Math.min(...own.map(([zoom]) => zoom));
  const zoomed = moved.map(([zoom]) => zoom);
  const middle = (largestZoom + Math.min(...leastZoom)) / 2;
  const zoomRoom = Math.max(largestZoom - middle, Math.abs(zoom0 - middle));
  const wantedZoom = withinWalls(zoom0 - middle, zoomed, () => zoomRoom).map((zoom, i) => {
    // Within half a clip it comes as near as a clip of its own would be, which makes room for a pan.
    const near = usual > zoom0 ? zoom0 + (usual - zoom0) * eased((2 * i) / steps) : usual;
    return Math.max(zoom + middle, near, leastZoom[i] ?? 0);
  });
  const zooms = follow(0, wantedZoom);

  // Content crosses the screen as fast as it would in a clip of its own, and along the screen's own axes.
  const scale = Math.exp(first[0] - zoom0);
  const [cos, sin] = [Math.cos(angle0) * scale, Math.sin(angle0) * scale];
  const room = (side: 0 | 1) => (i: number) => {
    const away = reach(angles[i] ?? 0, seen, half)[side] ?? 0;
    const whole = side === 0 ? half.x : half.y;
    return whole * Math.max(0, 1 - away / Math.exp(zooms[i] ?? 0));
  };
  const alongX = moved.map(([, x, y]) => cos * x + sin * y);
  const alongY = moved.map(([, x, y]) => cos * y - sin * x);
  const xs = follow(1, withinWalls(x0, alongX, room(0)));
  const ys = follow(2, withinWalls(y0, alongY, room(1)));

  const state = (i: number): Motion => [zooms[i] ?? 0, xs[i] ?? 0, ys[i] ?? 0, angles[i] ?? 0];
  const data = new Float32Array(4 * numFrames);
  for (let frame = 0; frame < numFrames; frame++) {
    data.set(viewOf(state((frame + 1) * stepsPerFrame)), 4 * frame);
  }
  const [before, end] = [state(steps - 1), state(steps)];
  const perFrame = map4((axis) => (end[axis] - before[axis]) * stepsPerFrame);
  return { views: { data, dims: [numFrames, 4] }, end: { view: end, perFrame } };
}

/** Half sides of the upright box around a frame at magnification 1, over those of the picture. */
function reach(angle: number, seen: Halves, half: Halves): readonly [number, number] {
  const [cos, sin] = [Math.cos(angle), Math.abs(Math.sin(angle))];
  return [(seen.x * cos + seen.y * sin) / half.x, (seen.x * sin + seen.y * cos) / half.y];
}

/**
 * From `from` by `moved`, or by the part of it for which there is room, or the other way.
 * @param room on either side of 0 at a step
 */
function withinWalls(
  from: number,
  moved: readonly number[],
  room: (step: number) => number,
): readonly number[] {
  const ahead = share(from, moved, room);
  const back = share(
    from,
    moved.map((way) => -way),
    room,
  );
  const factor = ahead >= leastRoom || ahead >= back ? ahead : -back;
  return moved.map((way, i) => Math.min(Math.max(from + factor * way, -room(i)), room(i)));
}

/** How much of the way fits, at most 1. Only the second half counts: until then room may still be made. */
function share(from: number, moved: readonly number[], room: (step: number) => number): number {
  let most = 1;
  moved.forEach((way, i) => {
    const wall = room(i);
    if (2 * i < moved.length || way === 0) return;
    const start = Math.min(Math.max(from, -wall), wall);
    most = Math.min(most, (Math.sign(way) * wall - start) / way);
  });
  return most;
}

/** From 0 at 0 to 1 at 1, slow at both ends. */
export function eased(t: number): number {
  const within = Math.min(Math.max(t, 0), 1);
  return within * within * (3 - 2 * within);
}

/** Follows a target like a mass on a critically damped spring: place and speed never jump. */
function followed(target: readonly number[], from: number, speed: number): number[] {
  const dt = 1 / (target.length - 1);
  const places = [from];
  let [place, velocity] = [from, speed];
  for (let i = 1; i < target.length; i++) {
    const now = target[i] ?? place;
    const targetVelocity = (now - (target[i - 1] ?? now)) / dt;
    velocity += dt * (eagerness ** 2 * (now - place) + 2 * eagerness * (targetVelocity - velocity));
    place += dt * velocity;
    places.push(place);
  }
  return places;
}

/** The view at a position 0 … 1 of evenly spaced ones, by cubic convolution. */
function between(views: readonly Motion[], position: number): Motion {
  const last = views.length - 1;
  const place = position * last;
  const i = Math.min(Math.floor(place), Math.max(last - 1, 0));
  const t = place - i;
  const at = (k: number): Motion => views[Math.min(Math.max(k, 0), last)] ?? [0, 0, 0, 0];
  return map4((axis) => {
    const [p1, p2] = [at(i)[axis], at(i + 1)[axis]];
    // Beyond the ends it goes straight on.
    const p0 = i > 0 ? at(i - 1)[axis] : 2 * p1 - p2;
    const p3 = i + 1 < last ? at(i + 2)[axis] : 2 * p2 - p1;
    const [a, b] = [(p2 - p0) / 2, (p3 - p1) / 2];
    return p1 + t * (a + t * (3 * (p2 - p1) - 2 * a - b + t * (2 * (p1 - p2) + a + b)));
  });
}

function motionsOf({ data, dims: [count = 0] }: FloatTensor): Motion[] {
  return Array.from({ length: count }, (_, i) => {
    const [m = 1, x = 0, y = 0, angle = 0] = data.subarray(4 * i, 4 * i + 4);
    return [Math.log(m), x, y, angle];
  });
}

function map4(of: (axis: 0 | 1 | 2 | 3) => number): Motion {
  return [of(0), of(1), of(2), of(3)];
}
