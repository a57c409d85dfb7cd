/** Reads tests/golden: reference numbers that diffusers computed with the tiny pack. Its README has the format. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { GenerateRequest } from '../../src/inference/image-to-video.ts';
import type { FloatTensor, IntTensor } from '../../src/inference/sessions/tensor.ts';

const root = new URL('../golden/', import.meta.url);
export const builtinPackPath = fileURLToPath(new URL('../../models/builtin', import.meta.url));
export const tinyPackPath = fileURLToPath(new URL('../fixtures/packs/tiny', import.meta.url));
export const svdPackPath = fileURLToPath(new URL('../fixtures/packs/tiny-svd', import.meta.url));

interface StoredTensor {
  readonly file: string;
  readonly dtype: 'float32' | 'int64' | 'uint8';
  readonly dims: readonly number[];
}

export interface PipelineCase {
  readonly name: string;
  readonly picture: string;
  readonly request: Omit<GenerateRequest, 'image'>;
  readonly schedulerConfig?: Readonly<Record<string, unknown>>;
  readonly timesteps: readonly number[];
  readonly latents: StoredTensor;
  readonly frames: StoredTensor;
}

interface Golden {
  readonly components: readonly {
    readonly name: string;
    readonly graphs: readonly string[];
    readonly inputs: Readonly<Record<string, StoredTensor>>;
    readonly outputs: Readonly<Record<string, StoredTensor>>;
  }[];
  readonly pipelines: readonly PipelineCase[];
  readonly variations: readonly PipelineCase[];
  readonly shortcuts: readonly PipelineCase[];
}

export const golden = JSON.parse(readFileSync(new URL('index.json', root), 'utf8')) as Golden;

export const picturePath = (name: string): string => fileURLToPath(new URL(name, root));

function bytes({ file }: StoredTensor): ArrayBuffer {
  const buffer = readFileSync(new URL(file, root));
  return buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
}

export function readTensor(stored: StoredTensor): FloatTensor | IntTensor {
  return stored.dtype === 'int64'
    ? { data: new BigInt64Array(bytes(stored)), dims: stored.dims }
    : { data: new Float32Array(bytes(stored)), dims: stored.dims };
}

export const readFloats = (stored: StoredTensor): Float32Array => new Float32Array(bytes(stored));
export const readBytes = (stored: StoredTensor): Uint8Array => new Uint8Array(bytes(stored));

export function maxDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let max = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? Number.NaN));
    if (!(difference <= max)) max = difference;
  }
  return max;
}
