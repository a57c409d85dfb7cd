/** Fetches a picture from an address that a platform gave: no redirects, at most so many bytes, until a deadline. */
import { fetch, Response } from 'undici';
import { retry } from '../retry.ts';

/** The server, or the way to it, is in trouble that may pass. */
class Passing extends Error {
  readonly waitMs: number;
  constructor(waitMs = 0) {
    super('passing trouble');
    this.waitMs = waitMs;
  }
}

/** Of files whose type is not told. What they hold decides whether they can be animated. */
export const pictureName = /\.(jpe?g|jfif|png|webp|gif|heic|heif|avif|jxl|svg|bmp|tiff?)$/i;

const firstPauseMs = 200;
const longestPauseMs = 2_000;

/** One request. What it returns instead of an answer ends the download. */
export type Get<Objection> = (url: string, signal: AbortSignal) => Promise<Response | Objection>;

const getOnce: Get<never> = async (url, signal) => await fetch(url, { redirect: 'manual', signal });

/**
 * Tries again after what may pass, as long as `signal` allows. The address may be secret, so nothing that is thrown or
 * returned holds it.
 * @returns the bytes as they are; their format is not checked
 */
export async function download(
  url: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array | 'tooLarge' | 'failed'> {
  return await downloadBy(getOnce, url, maxBytes, signal, Infinity);
}

/**
 * The same by requests of another kind.
 * @param attempts at most so many
 */
export async function downloadBy<Objection extends object>(
  get: Get<Objection>,
  url: string,
  maxBytes: number,
  signal: AbortSignal,
  attempts: number,
): Promise<Uint8Array | 'tooLarge' | 'failed' | Objection> {
  try {
    return await retry(
      () => attempt(url, maxBytes, signal, get),
      (error, made) => {
        if (!(error instanceof Passing) || signal.aborted || made >= attempts) return undefined;
        return Math.max(error.waitMs, Math.min(firstPauseMs * 2 ** (made - 1), longestPauseMs));
      },
      signal,
    );
  } catch {
    return 'failed';
  }
}

async function attempt<Objection extends object>(
  url: string,
  maxBytes: number,
  signal: AbortSignal,
  get: Get<Objection>,
): Promise<Uint8Array | 'tooLarge' | 'failed' | Objection> {
  const response = await passing(get(url, signal));
  if (!(response instanceof Response)) return response;
  const { ok, status, headers, body } = response;
  if (!ok || !body) {
    await body?.cancel();
    const isPassing = status >= 500 || status === 429 || status === 408;
    if (isPassing) throw new Passing(Number(headers.get('retry-after') ?? 0) * 1000 || 0);
    return 'failed';
  }
  if (Number(headers.get('content-length')) > maxBytes) {
    await body.cancel();
    return 'tooLarge';
  }
  return await passing(read(body, maxBytes));
}

async function read(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<Uint8Array | 'tooLarge' | 'failed'> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.byteLength;
    if (length > maxBytes) return 'tooLarge'; // leaving the loop cancels the rest
    chunks.push(chunk);
  }
  return length === 0 ? 'failed' : Buffer.concat(chunks);
}

/** A connection that cannot be made, or breaks. */
async function passing<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch {
    throw new Passing();
  }
}
