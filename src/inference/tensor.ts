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

export type Tensor = FloatTensor | IntTensor;
