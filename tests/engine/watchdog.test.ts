import { describe, expect, it } from 'vitest';
import { SilenceLimit, scaleStepMs } from '../../src/engine/watchdog.ts';

const settings = { minSilenceMs: 15_000, silenceFactor: 5, firstStepMs: 600_000 };

function denoise(limit: SilenceLimit, times: readonly number[]): void {
  times.forEach((time, done) => {
    limit.note({ phase: 'denoising', done, total: 50 }, time);
  });
}

describe('silence limit', () => {
  it('is generous until the first step has been measured', () => {
    const limit = new SilenceLimit(settings, null);
    expect(limit.limitMs()).toBe(600_000);
    denoise(limit, [0]);
    expect(limit.limitMs()).toBe(600_000);
  });

  it('is five whole steps where the steps between reuse features', () => {
    for (const round of [2, 3]) {
      const limit = new SilenceLimit(settings, null);
      let now = 0;
      for (let done = 0; done <= 12; done++) {
        limit.note({ phase: 'denoising', done, total: 12 }, now);
        if (done > 0) expect(limit.limitMs()).toBe(300_000);
        now += done % round === 0 ? 60_000 : 8_000;
      }
    }
  });

  it('is five usual steps, and never less than fifteen seconds', () => {
    const quick = new SilenceLimit(settings, null);
    denoise(quick, [0, 100, 200, 300]);
    expect(quick.limitMs()).toBe(15_000);

    const slow = new SilenceLimit(settings, null);
    denoise(slow, [0, 8_000, 16_000, 60_000, 68_000]); // one step of 44 s among steps of 8 s
    expect(slow.stepMs()).toBe(8_000);
    expect(slow.limitMs()).toBe(40_000);
  });

  it('uses the steps of an earlier job before the first one of this job', () => {
    const limit = new SilenceLimit(settings, 4_000);
    denoise(limit, [0]);
    expect(limit.limitMs()).toBe(20_000);
  });

  it('allows other phases twice as much, and as their longest unit when that is slower', () => {
    const limit = new SilenceLimit(settings, null);
    denoise(limit, [0, 4_000, 8_000]);
    limit.note({ phase: 'decoding', done: 0, total: 4 }, 8_001);
    expect(limit.limitMs()).toBe(40_000);
    limit.note({ phase: 'decoding', done: 1, total: 4 }, 28_001);
    limit.note({ phase: 'decoding', done: 2, total: 4 }, 28_002);
    limit.note({ phase: 'decoding', done: 3, total: 4 }, 28_003);
    expect(limit.limitMs()).toBe(100_000);
  });

  it('expects the square for a larger job and no less for a smaller one', () => {
    expect(scaleStepMs(1_000, 100, 200)).toBe(4_000);
    expect(scaleStepMs(1_000, 200, 100)).toBe(1_000);
  });
});
