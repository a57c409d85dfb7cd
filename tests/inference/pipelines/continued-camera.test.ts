import { describe, expect, it } from 'vitest';
import { cameraEnd, continueCamera, type Halves } from '../../../src/inference/pipelines/continued-camera.ts';
import type { FloatTensor } from '../../../src/inference/sessions/tensor.ts';

const frames = 72;
const half: Halves = { x: 1.5, y: 1 };
type View = readonly [m: number, x: number, y: number, angle: number];

function pathOf(view: (p: number) => View): FloatTensor {
  const data = Float32Array.from(Array.from({ length: 33 }, (_, i) => view(i / 32)).flat());
  return { data, dims: [33, 4] };
}

const zoomIn = pathOf((p) => [Math.exp(0.3 * p), 0.1 * p, 0, 0]);
const zoomOut = pathOf((p) => [Math.exp(0.3 * (1 - p)), 0, 0, 0]);
const panRight = pathOf((p) => [1.2, 0.5 * (p - 0.5), 0, 0]);
const turn = pathOf((p) => [1.3, 0, 0, 0.2 * p]);
const still = pathOf(() => [1, 0, 0, 0]);

function viewsOf({ data }: FloatTensor): View[] {
  return Array.from({ length: data.length / 4 }, (_, i) => {
    const [m = 0, x = 0, y = 0, angle = 0] = data.subarray(4 * i, 4 * i + 4);
    return [m, x, y, angle];
  });
}

/** A chain of clips as the views of all its frames. */
function chain(...paths: readonly FloatTensor[]): View[] {
  const [first = still, ...others] = paths;
  let end = cameraEnd(first, frames);
  const all = Array.from({ length: frames }, (_, k): View => {
    const at = Math.round((k / (frames - 1)) * 32);
    return viewsOf(first)[at] ?? [1, 0, 0, 0];
  });
  for (const path of others) {
    const continued = continueCamera(end, path, frames, half, half);
    all.push(...viewsOf(continued.views));
    end = continued.end;
  }
  return all;
}

/** By how much a frame shows what lies outside the picture, over its side. */
function outside([m, x, y, angle]: View): number {
  const [cos, sin] = [Math.cos(angle), Math.abs(Math.sin(angle))];
  const beyondX = Math.abs(x) + (half.x * cos + half.y * sin) / m - half.x;
  const beyondY = Math.abs(y) + (half.x * sin + half.y * cos) / m - half.y;
  return Math.max(beyondX / half.x, beyondY / half.y);
}

const chains: readonly (readonly [string, readonly FloatTensor[]])[] = [
  ['zoom in', [zoomIn, zoomIn, zoomIn, zoomIn, zoomIn, zoomIn, zoomIn]],
  ['zoom out', [zoomOut, zoomOut, zoomOut]],
  ['pan right', [panRight, panRight, panRight]],
  ['turn', [turn, turn, turn, turn]],
  ['a little of all', [zoomIn, panRight, turn, still, zoomOut, panRight]],
];

describe.each(chains)('a chain of %s', (_, paths) => {
  it('goes on at the speed with which the clip before has ended', () => {
    let end = cameraEnd(paths[0] ?? still, frames);
    for (const path of paths.slice(1)) {
      const { views, end: next } = continueCamera(end, path, frames, half, half);
      const [first] = viewsOf(views);
      const [zoom, ...others] = end.view;
      const from = [Math.exp(zoom), ...others];
      first?.forEach((value, axis) => {
        const step = value - (from[axis] ?? 0);
        // The speed of a magnification is that of its logarithm.
        const speed = (end.perFrame[axis] ?? 0) * (axis === 0 ? Math.exp(zoom) : 1);
        expect(Math.abs(step - speed)).toBeLessThan(0.35 * Math.abs(speed) + 0.0015);
      });
      end = next;
    }
  });

  it('shows next to nothing outside the picture, and never more than three times enlarged', () => {
    for (const view of chain(...paths)) {
      expect(outside(view)).toBeLessThan(0.02);
      expect(view[0]).toBeLessThan(3.05);
    }
  });

  it('does not stand still while its words move', () => {
    const all = chain(...paths);
    for (let part = 1; part < paths.length; part++) {
      if (paths[part] === still) continue;
      const [from, to] = [all[part * frames], all[(part + 1) * frames - 1]];
      const moved = Math.max(...(from ?? []).map((value, axis) => Math.abs(value - (to?.[axis] ?? 0))));
      expect(moved, `part ${part}`).toBeGreaterThan(0.03);
    }
  });
});

it('a zoom goes on to zoom, and a pan turns round at the edge', () => {
  const zoomed = chain(zoomIn, zoomIn, zoomIn);
  expect(zoomed.at(-1)?.[0]).toBeCloseTo(Math.exp(0.9), 1);
  const panned = chain(panRight, panRight, panRight);
  const xs = [panned[0], panned[frames - 1], panned[2 * frames - 1], panned[3 * frames - 1]].map(
    (view) => view?.[1],
  );
  expect(xs[1]).toBeCloseTo(0.25, 2);
  expect(xs[2]).toBeCloseTo(-0.25, 1);
  expect(xs[3]).toBeCloseTo(0.25, 1);
});

it('a clip that may not move comes to rest', () => {
  const all = chain(zoomIn, still);
  const [before, last] = all.slice(-2);
  expect(last?.[0]).toBeCloseTo(before?.[0] ?? 0, 4);
});
