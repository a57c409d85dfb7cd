/** What the cache keeps of an earlier clip, for a variation of it, or one that goes on from its end. Knows no session. */
import { KinoraError } from '../../errors.ts';
import type { CacheEntry } from '../cache-file.ts';
import { LatentCache } from '../latent-cache.ts';
import type { Run } from './run.ts';

/**
 * @param pictureKey of the new clip's picture
 * @param read what is needed of the clip's entry; undefined where it has none
 * @throws KinoraError VIDEO_NOT_FOUND, INVALID_OPTION when the earlier clip is of another picture
 */
export async function earlierClip<Kept>(
  videoId: string,
  pictureKey: string,
  read: (entry: CacheEntry) => Kept | undefined,
  run: Run,
): Promise<Kept> {
  const entry = await run.lookUp('video', LatentCache.key('video', videoId));
  const kept = entry && read(entry);
  if (kept === undefined) {
    throw new KinoraError(
      'VIDEO_NOT_FOUND',
      `The video ${videoId} is no longer kept, so it can be neither varied nor extended.`,
    );
  }
  // Both pictures would shine through each other.
  if (entry?.meta?.['pictureKey'] !== pictureKey) {
    throw new KinoraError('INVALID_OPTION', { kind: 'otherPicture', videoId });
  }
  return kept;
}
