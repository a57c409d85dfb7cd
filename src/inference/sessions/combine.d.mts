/**
 * out = Σ factor · source, element by element, each result limited to ±limit. One to three terms; all arrays have the
 * length of `out`, which may be one of the sources.
 * @returns a number that is finite only if all results are, before they are limited; 0 for a mere copy
 * @throws RangeError for more terms
 */
export function combine(
  terms: readonly (readonly [factor: number, source: Float32Array])[],
  out: Float32Array,
  limit?: number,
): number;
