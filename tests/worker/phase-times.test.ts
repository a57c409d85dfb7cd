/** What is told of the time that a running job will still take. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { ProgressEvent } from '../../src/inference/image-to-video.ts';
import { PhaseTimes } from '../../src/worker/phase-times.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const size = { width: 64, height: 64, numFrames: 8, numInferenceSteps: 10 };
type Told = [phase: ProgressEvent['phase'], done: number, total: number, leftMs: number | undefined];

/** Goes through a job: 2 s of loading, 1 s of encoding, then steps and frames of these times, and 0.5 s of finishing. */
function told(times: PhaseTimes, { steps = 10, stepMs = 1_000, of = size } = {}): Told[] {
  const tell = times.begin(of);
  const all: Told[] = [];
  const say = (phase: ProgressEvent['phase'], done: number, total: number, ms: number): void => {
    const { leftMs } = tell({ phase, done, total });
    all.push([phase, done, total, leftMs === undefined ? undefined : Math.round(leftMs)]);
    vi.advanceTimersByTime(ms);
  };
  say('loading', 0, 1, 2_000);
  say('encoding', 0, 2, 1_000);
  for (let done = 0; done < steps; done++) say('denoising', done, steps, stepMs);
  for (let done = 0; done < 4; done++) say('decoding', done, 4, 500);
  say('finishing', 0, 1, 500);
  return all;
}

it('the first job is told of by its own steps, and decoding counts as a tenth of them', () => {
  const all = told(new PhaseTimes());
  expect(all.slice(0, 5)).toEqual([
    ['loading', 0, 1, undefined],
    ['encoding', 0, 2, undefined],
    ['denoising', 0, 10, undefined],
    ['denoising', 1, 10, 10_000],
    ['denoising', 2, 10, 9_000],
  ]);
  expect(all.slice(-4)).toEqual([
    ['decoding', 1, 4, 1_500],
    ['decoding', 2, 4, 1_000],
    ['decoding', 3, 4, 500],
    ['finishing', 0, 1, 0],
  ]);
});

it('a later job is told of from its beginning, all phases together', () => {
  const times = new PhaseTimes();
  told(times);
  const all = told(times);
  expect(all.slice(0, 4)).toEqual([
    ['loading', 0, 1, 15_000],
    ['encoding', 0, 2, 13_000],
    ['denoising', 0, 10, 12_000],
    ['denoising', 1, 10, 11_000],
  ]);
  expect(all.at(-5)).toEqual(['decoding', 0, 4, 2_000]);
});

it('in proportion to the clip, and to the steps that there really are', () => {
  const times = new PhaseTimes();
  told(times);
  const twice = { ...size, numFrames: 16 };
  expect(told(times, { of: twice })[0]).toEqual(['loading', 0, 1, 2_000 + 1_000 + 20_000 + 4_000]);
  // Taken back to what it was; a variation has five of the ten steps.
  told(times);
  expect(told(times, { steps: 5 })[2]).toEqual(['denoising', 0, 5, 5_000 + 2_000]);
});

it('a job that begins anew has its time anew, and teaches nothing wrong', () => {
  const times = new PhaseTimes();
  told(times);
  const tell = times.begin(size);
  tell({ phase: 'denoising', done: 0, total: 10 });
  vi.advanceTimersByTime(60_000);
  expect(tell({ phase: 'loading', done: 0, total: 1 }).leftMs).toBeCloseTo(15_000);
  expect(tell({ phase: 'encoding', done: 0, total: 2 }).leftMs).toBeCloseTo(13_000);
});
