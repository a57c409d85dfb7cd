/**
 * What overlaps in a clip. Sessions run one after the other in the session thread, and the main thread is free meanwhile:
 * - while the text encoder runs, the picture is decoded, resized and looked up;
 * - while unet_cond runs, the noise is drawn;
 * - while the decoder runs, the frames before are consumed (decode-frames.ts), and the cache writes to the disk.
 * Nothing else does: a stage begins when all that it needs is there.
 */

/** Both results, when both have settled: a failure leaves no session at work behind. Throws what the first one throws. */
export async function together<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([first, second]);
  return await Promise.all([first, second]);
}
