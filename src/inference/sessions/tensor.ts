/** Plain tensors: typed data and dimensions. Knows nothing of any runtime. */

/** float32 data in row-major order. */
export interface FloatTensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** int64 data in row-major order (token ids, timesteps, fps). */
export interface IntTensor {
  readonly data: BigInt64Array;
  readonly dims: readonly number[];
}

/** uint8 data in row-major order: pixels that a decoder has made. */
export interface ByteTensor {
  readonly data: Uint8Array;
  readonly dims: readonly number[];
}

export type Tensor = FloatTensor | IntTensor;

/** An input or output of a graph. */
export interface TensorSpec {
  readonly name: string;
  readonly type: string;
  /** A number where the size is fixed, a name where it is free. */
  readonly dims: readonly (number | string)[];
}

/** A tensor's memory, to be handed to another thread instead of being copied. */
export function buffersOf({ data: { buffer } }: Tensor | ByteTensor): ArrayBuffer[] {
  return buffer instanceof ArrayBuffer ? [buffer] : [];
}

/** Copies (1, …), one or more, one after the other along the batch: (B, …). */
export function stack(...rows: readonly [FloatTensor, ...FloatTensor[]]): FloatTensor {
  const [first] = rows;
  const data = new Float32Array(rows.length * first.data.length);
  for (const [n, row] of rows.entries()) data.set(row.data, n * first.data.length);
  return { data, dims: [rows.length, ...first.dims.slice(1)] };
}
