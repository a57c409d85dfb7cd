/** Windows of frames that a decoder sees at once, where it mixes frames. */

/** The most neighbours on either side that a window can give to at least one of its frames. */
export function mostOverlap(decodeChunkSize: number): number {
  return Math.floor((decodeChunkSize - 1) / 2);
}
