/** Removes entries of people from the disk tier of a latent cache, by names that say nothing of the people. */
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { isOfOtherVersion, readMeta } from './cache-file.ts';
import { entriesOf, entryName, LatentCache } from './latent-cache.ts';

/** What is known of one person. */
export interface OwnedEntries {
  readonly pictureKeys: ReadonlySet<string>;
  /** SHA-256 of whole picture files, in hex. */
  readonly fileHashes: ReadonlySet<string>;
  readonly videoIds: ReadonlySet<string>;
}

/** Names of their entries, or what these begin with: hashes, which another machine can find its own entries by. */
export function namesOf({ pictureKeys, fileHashes, videoIds }: OwnedEntries): ReadonlySet<string> {
  return new Set([
    ...[...fileHashes].map((hash) => LatentCache.filePrefix(hash)),
    ...[...pictureKeys].map((key) => LatentCache.picturePrefix(key)),
    ...[...videoIds].map((id) => LatentCache.key('video', id)),
  ]);
}

/**
 * Removes what is named from a folder: everything computed from a person's pictures, what is known about their files and
 * about every other file that shows one of these pictures, and the latents of their videos and of all others that were
 * made of these pictures. Entries of another version go too: no job can use them, and they do not say whose they are.
 * @param named as namesOf, or all entries
 * @returns how many files were removed
 * @throws the file system's first error, after all that can be removed is; then another call finds the rest
 */
export async function forgetEntries(folder: string, named: ReadonlySet<string> | 'all'): Promise<number> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => entryName.test(name));
  const gone = named === 'all' ? names : await findEntries(folder, names, named);
  // Entries about files lead to those of their pictures: they go when nothing has to be found by them any more.
  const leading = (name: string): boolean => name.startsWith('file-');
  for (const part of [gone.filter((name) => !leading(name)), gone.filter(leading)]) {
    const results = await Promise.allSettled(
      part.map((name) => rm(path.join(folder, name), { force: true })),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }
  return gone.length;
}

async function findEntries(
  folder: string,
  names: readonly string[],
  named: ReadonlySet<string>,
): Promise<readonly string[]> {
  const outdated: string[] = [];
  const pictureKeys = new Map<string, unknown>();
  for (const name of names) {
    const file = path.join(folder, name);
    if (await isOfOtherVersion(file)) outdated.push(name);
    else
      pictureKeys.set(
        name,
        /^(?:file|video)-/.test(name) ? (await readMeta(file))?.['pictureKey'] : undefined,
      );
  }
  return [...outdated, ...entriesOf(named, pictureKeys)];
}
