/** Reads tests/golden/svd: reference numbers that diffusers computed with the tiny pack of Stable Video Diffusion. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { GenerateRequest } from '../../src/inference/image-to-video.ts';
import { decodeImage } from '../../src/inference/pictures/decode.ts';
import { pictureOf } from '../../src/inference/pictures/known-picture.ts';
import type { FloatTensor } from '../../src/inference/sessions/tensor.ts';
import type { MotionNumbers } from '../../src/request/families/family.ts';
import type { ClipRequest } from '../../src/request/resolve.ts';

const root = new URL('../golden/svd/', import.meta.url);

interface StoredTensor {
  readonly file: string;
  readonly dims: readonly number[];
}

type Numbers = Omit<ClipRequest, 'prompt' | 'negativePrompt' | 'motionNumbers' | 'decodeChunkSize'> &
  MotionNumbers;

export interface SvdCase {
  readonly name: string;
  readonly picture: string;
  readonly request: Numbers;
  readonly sigmas: readonly number[];
  readonly intermediate: { readonly imageEmbeds: StoredTensor; readonly imageLatents: StoredTensor };
  readonly latents: StoredTensor;
  readonly decodes: readonly {
    readonly decodeChunkSize: number;
    readonly decodeOverlap: number;
    readonly frames: StoredTensor;
  }[];
}

interface Golden {
  readonly branch: readonly {
    readonly name: string;
    readonly picture: string;
    readonly stride: number;
    readonly pixelValues: StoredTensor;
  }[];
  readonly components: readonly {
    readonly name: string;
    readonly graphs: readonly string[];
    readonly inputs: Readonly<Record<string, StoredTensor>>;
    readonly outputs: Readonly<Record<string, StoredTensor>>;
  }[];
  readonly pipelines: readonly SvdCase[];
  readonly variations: readonly SvdCase[];
  readonly shortcuts: readonly SvdCase[];
}

export const golden = JSON.parse(readFileSync(new URL('index.json', root), 'utf8')) as Golden;

export const picturePath = (name: string): string => fileURLToPath(new URL(name, root));

export const readBytes = ({ file }: StoredTensor): Uint8Array =>
  Uint8Array.from(readFileSync(new URL(file, root)));
export const readFloats = (stored: StoredTensor): Float32Array => new Float32Array(readBytes(stored).buffer);
export const readTensor = (stored: StoredTensor): FloatTensor => ({
  data: readFloats(stored),
  dims: stored.dims,
});

/** The request of a case, with all frames decoded at once. */
export async function requestOf({
  request,
  picture,
}: Pick<SvdCase, 'request' | 'picture'>): Promise<GenerateRequest> {
  const { motionBucket, noiseAug, minGuidance, ...rest } = request;
  return {
    ...rest,
    prompt: '',
    negativePrompt: '',
    motionNumbers: { motionBucket, noiseAug, minGuidance },
    decodeChunkSize: request.numFrames,
    image: pictureOf(await decodeImage(picturePath(picture))),
  };
}
