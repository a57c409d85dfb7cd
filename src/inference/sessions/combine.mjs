/**
 * The arithmetic of a sampling step where it is not part of the UNet's graph. Knows no algorithm.
 * JavaScript with types in comments because it runs in the session thread: see thread.mjs.
 */

/**
 * out = Σ factor · source, element by element, each result limited to ±limit. All arrays have the length of `out`, which
 * may be one of the sources.
 * @param {readonly (readonly [factor: number, source: Float32Array])[]} terms one to three
 * @param {Float32Array} out
 * @param {number} [limit]
 * @throws RangeError for another number of terms
 */
export function combine(terms, out, limit = Infinity) {
  const [first, second, third] = terms;
  if (!first || terms.length > 3) throw new RangeError(`${terms.length} terms; expected 1 to 3.`);
  const [a, x] = first;
  const [b, y] = second ?? [0, x];
  const [c, z] = third ?? [0, x];
  for (let k = 0; k < out.length; k += 1) {
    // Zero only for tsc: no index is out of range.
    const sum = a * (x[k] ?? 0) + b * (y[k] ?? 0) + c * (z[k] ?? 0);
    out[k] = Math.max(-limit, Math.min(limit, sum));
  }
}
