/** Random numbers that are the same in each run of the simulation (mulberry32). */
let state = 1;

export function seedRandom(seed: number): void {
  state = seed | 0;
}

/** @returns uniform in 0 … 1, 1 excluded */
export function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}

/** @returns exponentially distributed with this mean */
export function exponential(mean: number): number {
  return -mean * Math.log(1 - random());
}
