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

/** Its memory, to be handed to another thread instead of being copied. */
export function buffersOf({ data: { buffer } }: Tensor | ByteTensor): ArrayBuffer[] {
  return buffer instanceof ArrayBuffer ? [buffer] : [];
}

/** Along the batch: (1, …) and (1, …) to (2, …). */
export function stack(first: FloatTensor, second: FloatTensor): FloatTensor {
  const data = new Float32Array(first.data.length + second.data.length);
  data.set(first.data);
  data.set(second.data, first.data.length);
  return { data, dims: [2, ...first.dims.slice(1)] };
}
