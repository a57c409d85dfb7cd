/**
 * The motions that models/builtin/MOTION.md defines, written a second time from that text alone: which clip the
 * built-in model should make of a picture. Knows nothing of the model; section numbers refer to MOTION.md.
 */
import { readFileSync } from 'node:fs';
import type { RgbImage } from '../../src/inference/image-to-video.ts';

export const kinds = [
  'zoom-in',
  'zoom-out',
  'pan-left',
  'pan-right',
  'tilt-up',
  'tilt-down',
  'rotate-cw',
  'rotate-ccw',
  'static',
  'waves',
  'sway',
] as const;
export type Kind = (typeof kinds)[number];
export const speeds = ['slow', 'normal', 'fast'] as const;
export type Speed = (typeof speeds)[number];

export interface Motion {
  readonly kind: Kind;
  readonly speed: Speed;
}

type BySpeed = Readonly<Record<Speed, number>>;
interface MotionTable {
  readonly levels: BySpeed;
  readonly amplitudes: {
    readonly zoom: { readonly full: number };
    readonly pan: { readonly full: number };
    readonly tilt: { readonly full: number };
    readonly rotate: { readonly full: number };
    readonly waves: { readonly byLevel: BySpeed };
    readonly sway: { readonly byLevel: BySpeed };
  };
  readonly cycles: Readonly<Record<'waves' | 'sway', Readonly<Record<Speed, readonly [number, number]>>>>;
}

const table = JSON.parse(
  readFileSync(new URL('../../models/builtin/motion.json', import.meta.url), 'utf8'),
) as MotionTable;

const overscanSamples = 33;
const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);
const smoothstep = (t: number): number => t * t * (3 - 2 * t);
const ease = (p: number): number => 0.5 * p + 0.5 * smoothstep(p);
const step = (a: number, b: number, t: number): number => smoothstep(clamp((t - a) / (b - a), 0, 1));
const sin = (t: number): number => Math.sin(2 * Math.PI * t);
const cos = (t: number): number => Math.cos(2 * Math.PI * t);

/** Where each pixel of a frame lies in the picture; x and y in pixels, centres at whole numbers. */
export interface Warp {
  readonly x: Float64Array;
  readonly y: Float64Array;
}

/** The path of one clip. */
export class Clip {
  readonly #width: number;
  readonly #height: number;
  readonly #gain: number;
  readonly #speeds: ReadonlyMap<Kind, Speed>;
  readonly #ax: number;
  readonly #ay: number;
  readonly #zoomDirection: number;
  readonly #offset: { readonly x: number; readonly y: number };
  readonly #overscan: number;

  constructor(motions: readonly Motion[], width: number, height: number, targetFps = 16) {
    const listed = motions.length > 0 ? motions : [{ kind: 'zoom-in', speed: 'slow' } as const];
    this.#speeds = new Map(listed.map(({ kind, speed }) => [kind, speed]));
    this.#width = width;
    this.#height = height;
    this.#gain = 2 ** ((16 - clamp(targetFps, 4, 32)) / 16);
    const short = Math.min(width, height);
    this.#ax = width / short;
    this.#ay = height / short;

    const zoomIn = this.#speeds.has('zoom-in');
    const zoomOut = this.#speeds.has('zoom-out');
    this.#zoomDirection = zoomIn === zoomOut ? 0 : zoomIn ? 1 : -1;
    const samples = Array.from({ length: overscanSamples }, (_, i) => i / (overscanSamples - 1));
    const paths = samples.map((p) => this.#path(p));
    const middle = (values: readonly number[]): number => {
      if (this.#zoomDirection === 1) return values[0] ?? 0;
      if (this.#zoomDirection === -1) return values.at(-1) ?? 0;
      return (Math.min(...values) + Math.max(...values)) / 2;
    };
    this.#offset = { x: middle(paths.map((path) => path.x)), y: middle(paths.map((path) => path.y)) };
    this.#overscan = Math.max(
      1,
      ...paths.map(({ x, y, theta, magnification }) => {
        const c = Math.abs(Math.cos(theta));
        const s = Math.abs(Math.sin(theta));
        const nx = (this.#ax * c + this.#ay * s) / (this.#ax - Math.abs(x - this.#offset.x));
        const ny = (this.#ax * s + this.#ay * c) / (this.#ay - Math.abs(y - this.#offset.y));
        return Math.max(nx, ny) / magnification;
      }),
    );
  }

  #level(kind: Kind): number {
    const speed = this.#speeds.get(kind);
    return speed ? table.levels[speed] : 0;
  }

  /** Section 3, before offset and overscan. */
  #path(p: number): { magnification: number; x: number; y: number; theta: number } {
    const pair = (first: Kind, second: Kind): number => {
      const l1 = this.#level(first);
      const l2 = this.#level(second);
      const both = l1 > 0 && l2 > 0 ? 1 : 0;
      const e1 = ease(clamp(p * (1 + both), 0, 1));
      const e2 = ease(clamp(p * (1 + both) - both, 0, 1));
      return l1 * e1 - l2 * e2;
    };
    const { zoom, pan, tilt, rotate } = table.amplitudes;
    return {
      magnification: Math.exp(this.#gain * zoom.full * pair('zoom-in', 'zoom-out')),
      x: -this.#gain * 2 * this.#ax * pan.full * pair('pan-left', 'pan-right'),
      y: -this.#gain * 2 * this.#ay * tilt.full * pair('tilt-up', 'tilt-down'),
      theta: this.#gain * rotate.full * (Math.PI / 180) * pair('rotate-cw', 'rotate-ccw'),
    };
  }

  /** Sections 2 to 5 for the frame at position p in [0, 1]. */
  warp(p: number): Warp {
    const [width, height, ax, ay] = [this.#width, this.#height, this.#ax, this.#ay];
    const short = Math.min(width, height);
    const path = this.#path(p);
    const m = this.#overscan * path.magnification;
    const [cx, cy] = [path.x - this.#offset.x, path.y - this.#offset.y];
    const [c, s] = [Math.cos(path.theta), Math.sin(path.theta)];
    const x = new Float64Array(width * height);
    const y = new Float64Array(width * height);
    for (let j = 0, k = 0; j < height; j++) {
      const Y = (2 * j + 1 - height) / short;
      for (let i = 0; i < width; i++, k++) {
        const X = (2 * i + 1 - width) / short;
        const u = (c * X + s * Y) / m + cx;
        const v = (-s * X + c * Y) / m + cy;
        const [du, dv] = this.#local(u, v, u / ax, v / ay, p);
        x[k] = ((u + du) * short + width - 1) / 2;
        y[k] = ((v + dv) * short + height - 1) / 2;
      }
    }
    return { x, y };
  }

  /** Section 4. */
  #local(u: number, v: number, xn: number, yn: number, p: number): [number, number] {
    let du = 0;
    let dv = 0;
    const waves = this.#speeds.get('waves');
    if (waves) {
      const [c1, c2] = table.cycles.waves[waves];
      const amplitude = this.#gain * table.amplitudes.waves.byLevel[waves] * step(-0.25, 0.45, yn);
      const phi1 = 0.9 * u + 1.6 * v - c1 * p;
      const phi2 = -1.7 * u + 2.9 * v - c2 * p + 0.25;
      du += amplitude * (1 - xn ** 4) * 0.5 * (cos(phi1) + 0.35 * cos(phi2));
      dv += amplitude * (1 - yn ** 6) * (sin(phi1) + 0.35 * sin(phi2));
    }
    const sway = this.#speeds.get('sway');
    if (sway) {
      const [c1, c2] = table.cycles.sway[sway];
      const bend = ((1 - yn) / 2) ** 1.5;
      const amplitude = this.#gain * table.amplitudes.sway.byLevel[sway] * bend;
      du += amplitude * (1 - xn ** 4) * (sin(c1 * p - 0.3 * u) + 0.3 * sin(c2 * p - 1.1 * u + 0.8 * v + 0.2));
      dv += amplitude * (1 - yn ** 4) * 0.25 * sin(c2 * p + 0.9 * u + 0.25);
    }
    return [du, dv];
  }
}

/** Section 5: separable cubic convolution with a = -0.75; indices outside the picture are clamped. */
export function resample({ width, height, data }: RgbImage, { x, y }: Warp): RgbImage {
  const out = new Uint8ClampedArray(x.length * 3);
  const wx = new Float64Array(4);
  const wy = new Float64Array(4);
  for (let k = 0; k < x.length; k++) {
    const px = x[k] as number;
    const py = y[k] as number;
    const x0 = Math.floor(px);
    const y0 = Math.floor(py);
    cubicWeights(px - x0, wx);
    cubicWeights(py - y0, wy);
    for (let channel = 0; channel < 3; channel++) {
      let sum = 0;
      for (let b = 0; b < 4; b++) {
        const row = clamp(y0 + b - 1, 0, height - 1) * width;
        let line = 0;
        for (let a = 0; a < 4; a++) {
          const column = clamp(x0 + a - 1, 0, width - 1);
          line += (wx[a] as number) * (data[(row + column) * 3 + channel] as number);
        }
        sum += (wy[b] as number) * line;
      }
      out[k * 3 + channel] = sum;
    }
  }
  return { width, height, data: new Uint8Array(out.buffer) };
}

function cubicWeights(t: number, weights: Float64Array): void {
  const a = -0.75;
  const far = (d: number): number => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  const near = (d: number): number => ((a + 2) * d - (a + 3)) * d * d + 1;
  weights[0] = far(1 + t);
  weights[1] = near(t);
  weights[2] = near(1 - t);
  weights[3] = far(2 - t);
}

/** In dB over all channels; the same pictures give 99. */
export function psnr(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] as number) - (b[i] as number)) ** 2;
  return sum === 0 ? 99 : Math.min(99, 10 * Math.log10((255 ** 2 * a.length) / sum));
}
