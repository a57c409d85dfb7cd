/**
 * The VAE's sessions alone, in a process of their own: what encoding and decoding take per chunk size, through the class
 * that the engine uses. For bench/gpu.ts; prints JSON lines. Argument: JSON of SessionsArguments.
 */
import path from 'node:path';
import { decodeChunk } from '../../src/inference/pipelines/decode-frames.ts';
import { TorchGenerator } from '../../src/inference/random.ts';
import { OnnxSession } from '../../src/inference/sessions/session.ts';
import type { Values } from './measurements.ts';
import type { VaeCase } from './plan.ts';

export interface SessionsArguments {
  readonly packPath: string;
  readonly device: string;
  readonly threads: number;
  readonly latentChannels: number;
  readonly vaeScaleFactor: number;
  readonly case: VaeCase;
  readonly repeats: number;
}

const {
  packPath,
  device,
  threads,
  latentChannels,
  vaeScaleFactor,
  case: vaeCase,
  repeats,
} = JSON.parse(process.argv[2] ?? '') as SessionsArguments; // written by bench/gpu.ts
const { width, height, numFrames, chunks } = vaeCase;

const print = (line: object): void => {
  process.stdout.write(`${JSON.stringify({ ...line, at: Date.now() })}\n`);
};
const open = async (name: string): Promise<OnnxSession> =>
  await OnnxSession.open(name, path.join(packPath, name, 'model.onnx'), { device, threads });

async function measure(part: string, key: string, work: () => Promise<Values>): Promise<void> {
  print({ mark: 'begin', part, key });
  let values: Values;
  try {
    values = await work();
  } catch (error) {
    values = { error: error instanceof Error ? error.message : String(error) };
  }
  print({ part, key, values });
}

/** First and median milliseconds. */
async function repeated(work: () => Promise<void>): Promise<Values> {
  const times: number[] = [];
  for (let run = 0; run <= repeats + 1; run++) {
    const startedAt = performance.now();
    await work();
    times.push(performance.now() - startedAt);
  }
  const [firstMs = 0, , ...rest] = times; // the second run still meets new memory
  return { firstMs, ms: rest.sort((a, b) => a - b)[rest.length >> 1] ?? 0 };
}

const encoder = await open('vae_encoder');
const sample = new TorchGenerator(1).randn(3 * width * height).map((value) => Math.tanh(value));
await measure('encode', vaeCase.key, () =>
  repeated(async () => {
    await encoder.run({ sample: { data: sample, dims: [1, 3, height, width] } });
  }),
);
await encoder.release();

const decoder = await open('vae_decoder');
const [h, w] = [height / vaeScaleFactor, width / vaeScaleFactor];
const frameLatents = latentChannels * h * w;
const latents = new TorchGenerator(2).randn(numFrames * frameLatents);
// From small to large: memory of a session only ever grows.
for (const chunk of chunks) {
  await measure('decode', `${vaeCase.key} chunk ${chunk}`, () =>
    repeated(async () => {
      for (let first = 0; first < numFrames; first += chunk) {
        const count = Math.min(chunk, numFrames - first);
        const data = latents.slice(first * frameLatents, (first + count) * frameLatents);
        const latent = { data, dims: [count, latentChannels, h, w] };
        await decodeChunk(decoder, latent, [count, height, width]);
      }
    }),
  );
}
await decoder.release();
