/**
 * Decodes 16 frames in chunks, in a process of its own, and prints what it took as JSON: for bench/engine.ts, which
 * compares chunk sizes. Arguments: frames per chunk, threads.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeChunk } from '../../src/inference/pipelines/decode-frames.ts';
import { TorchGenerator } from '../../src/inference/random.ts';
import { OnnxSession } from '../../src/inference/sessions/session.ts';

export interface DecodingMeasured {
  readonly ms: number;
  /** Peak of resident memory over what the process had before. */
  readonly extraBytes: number;
  readonly sha256: string;
}

const [chunkSize = 1, threads = 0] = process.argv.slice(2).map(Number);
const [numFrames, channels, factor, side] = [16, 32, 4, 512];
const model = fileURLToPath(new URL('../../models/builtin/vae_decoder/model.onnx', import.meta.url));
const decoder = await OnnxSession.open('vae_decoder', path.resolve(model), { device: 'cpu', threads });
const cells = side / factor;
const frameLatents = channels * cells * cells;
const latents = new TorchGenerator(1).randn(numFrames * frameLatents);

const status = (name: string): number =>
  Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;

writeFileSync('/proc/self/clear_refs', '5'); // the peak counts from here
const before = status('VmRSS');
const startedAt = performance.now();
const hash = createHash('sha256');
for (let first = 0; first < numFrames; first += chunkSize) {
  const data = latents.slice(first * frameLatents, (first + chunkSize) * frameLatents);
  const latent = { data, dims: [chunkSize, channels, cells, cells] };
  hash.update(await decodeChunk(decoder, latent, [chunkSize, side, side]));
}
const measured: DecodingMeasured = {
  ms: performance.now() - startedAt,
  extraBytes: status('VmHWM') - before,
  sha256: hash.digest('hex'),
};
process.stdout.write(JSON.stringify(measured));
await decoder.release();
