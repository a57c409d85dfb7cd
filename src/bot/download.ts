/** Fetches a picture from an address that a platform gave: no redirects, at most so many bytes, until a deadline. */

/**
 * The address may be secret, so nothing that is thrown or returned holds it.
 * @returns the bytes as they are; their format is not checked
 */
export async function download(
  url: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array | 'tooLarge' | 'failed'> {
  try {
    const response = await fetch(url, { redirect: 'error', signal });
    if (!response.ok || !response.body) {
      await response.body?.cancel();
      return 'failed';
    }
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      length += chunk.byteLength;
      if (length > maxBytes) return 'tooLarge'; // leaving the loop cancels the rest
      chunks.push(chunk);
    }
    return length === 0 ? 'failed' : Buffer.concat(chunks);
  } catch {
    return 'failed';
  }
}
