/**
 * What people ask for in a day, as a service that makes pictures has seen it: 26,823 requests of 4,247 people in 24 days
 * of 2024 (lora_request_trace.csv of Alibaba's GenTD26: Lin et al., "Understanding Diffusion Model Serving in
 * Production", SoCC 2025). Hours, requests per person and gaps between them are that trace's; the presets are an
 * assumption.
 */
import { random } from './random.ts';

/** Requests in each hour of the day, relative to the mean; begins at the quietest part of the night. */
export const hours = [
  0.1, 0.04, 0.03, 0.0, 0.0, 0.0, 0.0, 0.04, 0.57, 2.1, 2.48, 0.56, 0.98, 2.97, 2.97, 3.16, 3.43, 0.98, 1.05,
  1.08, 0.6, 0.32, 0.3, 0.23,
] as const;

type Quantiles = readonly (readonly [share: number, value: number])[];
/** Requests of one person on a day on which they ask at all; mean 5.3. */
const requestsPerDay: Quantiles = [
  [0, 1],
  [0.4, 1],
  [0.5, 2],
  [0.6, 3],
  [0.7, 4],
  [0.8, 6],
  [0.9, 10],
  [0.95, 18],
  [0.975, 27],
  [0.99, 46],
  [0.995, 65],
  [0.999, 199],
  [1, 303],
];
/** Seconds between two requests of one person. */
const gaps: Quantiles = [
  [0, 5],
  [0.05, 17],
  [0.1, 27],
  [0.25, 42],
  [0.5, 70],
  [0.75, 141],
  [0.9, 380],
  [0.95, 1044],
  [0.99, 9889],
  [1, 20000],
];

/** Seconds on an H100 (bench/results/gpu-clips.csv), credits, and the share of requests that is assumed. */
export const presets = [
  { name: 'fast', seconds: 2.4, credits: 1, share: 0.25 },
  { name: 'standard', seconds: 6.7, credits: 2, share: 0.6 },
  { name: 'high', seconds: 37.1, credits: 6, share: 0.15 },
] as const;
export type Preset = (typeof presets)[number];

/** Mean seconds of a clip. */
export const meanSeconds = presets.reduce((sum, { seconds, share }) => sum + seconds * share, 0);

function draw(quantiles: Quantiles): number {
  const at = random();
  for (let index = 1; index < quantiles.length; index++) {
    const [share, value] = quantiles[index] ?? [1, 0];
    const [shareBefore, before] = quantiles[index - 1] ?? [0, 0];
    if (at <= share) return before + ((at - shareBefore) / (share - shareBefore)) * (value - before);
  }
  return quantiles.at(-1)?.[1] ?? 0;
}

export function drawRequests(): number {
  return Math.round(draw(requestsPerDay));
}

/** @returns seconds until the same person asks again */
export function drawGap(): number {
  return draw(gaps);
}

export function drawPreset(): Preset {
  let at = random();
  for (const preset of presets) {
    at -= preset.share;
    if (at < 0) return preset;
  }
  return presets[1];
}

/** @returns seconds since the day began */
export function drawTimeOfDay(): number {
  const total = hours.reduce<number>((sum, value) => sum + value, 0);
  let at = random() * total;
  for (const [hour, share] of hours.entries()) {
    if (at < share) return (hour + at / share) * 3600;
    at -= share;
  }
  return 86_400;
}
