/** Reads tests/golden/numerics, made by models/export/make_numerics.py. */
import { readFileSync } from 'node:fs';

export function readGolden<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../golden/numerics/${name}`, import.meta.url), 'utf8')) as T;
}

/** Little-endian float32 in base64. */
export function floats(base64: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(base64, 'base64'));
  return new Float32Array(bytes.buffer);
}

export function maxDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.NaN;
  let most = 0;
  for (let i = 0; i < expected.length; i += 1) {
    const difference = Math.abs((actual[i] ?? Number.NaN) - (expected[i] ?? Number.NaN));
    // A comparison with NaN is false: it must not pass for zero.
    if (!(difference <= most)) most = difference;
  }
  return most;
}

/** The same pixels as make_numerics.py: hard edges, slopes and noise. */
export function makePixels(width: number, height: number) {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i += 1) {
    const pixel = Math.floor(i / 3);
    const x = pixel % width;
    const y = Math.floor(pixel / width);
    if (y % 3 === 0) data[i] = Math.imul(i, 2654435761) >>> 24;
    else if (y % 3 === 1) data[i] = ((Math.floor(x / 7) + Math.floor(y / 5)) % 2) * 255;
    else data[i] = Math.floor((x * 255) / width);
  }
  return { width, height, data };
}
