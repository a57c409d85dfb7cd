import type { Check } from './session.ts';

/** True when no value is NaN or infinite. */
export function isFinite32(data: Float32Array): boolean;

/** False when a value is found that is NaN or infinite. Without `check` all are looked at; of few, some are all. */
export function passes(data: Float32Array, check?: Check): boolean;
