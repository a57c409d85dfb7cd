/** Fetches a picture from the address that a request names. */
import { Response } from 'undici';
import { downloadBy } from '../../bot/download.ts';
import { type Refused, refused, type UrlObjection } from '../../bot/refusals.ts';
import { defaultImageLimits } from '../../inference/pictures/header.ts';
import type { Outgoing } from '../outgoing/outgoing.ts';

const deadlineMs = 20_000;
const attempts = 3;
const mostRedirects = 3;
const { maxBytes } = defaultImageLimits;

/** @returns the bytes as they are, or why there are none; their format is not checked */
export async function fetchPicture(url: string, outgoing: Outgoing): Promise<Uint8Array | Refused> {
  const signal = AbortSignal.timeout(deadlineMs);
  const get = (address: string) => follow(address, signal, outgoing);
  const got = await downloadBy(get, url, maxBytes, signal, attempts);
  if (got === 'tooLarge') return refused({ kind: 'tooLarge', megabytes: maxBytes / 2 ** 20 });
  if (got instanceof Uint8Array) return got;
  const objection = got === 'failed' ? { kind: 'silent' as const, seconds: deadlineMs / 1000 } : got;
  return refused({ kind: 'notDownloaded', objection });
}

/** Each address on the way is one that may be called, and its name is looked up anew. */
async function follow(
  url: string,
  signal: AbortSignal,
  outgoing: Outgoing,
): Promise<Response | UrlObjection> {
  let at = url;
  for (let redirects = 0; redirects <= mostRedirects; redirects++) {
    const response = await outgoing.call(at, { signal, headers: { accept: 'image/*' } });
    if (!(response instanceof Response)) return { kind: response };
    const { status, headers, body } = response;
    if (status < 300 || status >= 500 || status === 429 || status === 408) return response;
    await body?.cancel();
    const location = headers.get('location');
    if (status >= 400 || !location || !URL.canParse(location, at)) return { kind: 'answered', status };
    at = new URL(location, at).href;
  }
  return { kind: 'redirects', most: mostRedirects };
}
