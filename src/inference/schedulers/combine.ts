/** The one loop that every sampling step is made of. Knows no algorithm. */

/**
 * out = a x + b y, element by element; `out` may be one of the inputs. Four at a time, which nearly halves the time:
 * a clip runs it over millions of numbers at every step. Indices are in range by construction, hence `as number`.
 */
export function combine(
  a: number,
  x: Float32Array,
  b: number,
  y: Float32Array,
  out: Float32Array,
): Float32Array {
  const { length } = x;
  let k = 0;
  for (; k + 4 <= length; k += 4) {
    out[k] = a * (x[k] as number) + b * (y[k] as number);
    out[k + 1] = a * (x[k + 1] as number) + b * (y[k + 1] as number);
    out[k + 2] = a * (x[k + 2] as number) + b * (y[k + 2] as number);
    out[k + 3] = a * (x[k + 3] as number) + b * (y[k + 3] as number);
  }
  for (; k < length; k += 1) out[k] = a * (x[k] as number) + b * (y[k] as number);
  return out;
}
