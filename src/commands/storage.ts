/** The storage that the settings name. */
import type { Config } from '../config.ts';
import { FolderStorage } from '../storage/folder-storage.ts';
import type { Storage } from '../storage/storage.ts';

/** How long a copy may outlive its job on a machine whose process died with it. */
const sweepEveryMs = 300_000;

/** Loads the client of S3 only where it is used. */
export async function openStorage({
  storage,
  jobsFolder,
}: Pick<Config, 'storage' | 'jobsFolder'>): Promise<Storage> {
  if (!storage) return new FolderStorage(jobsFolder);
  const { S3Storage } = await import('../storage/s3-storage.ts');
  const bucket = new S3Storage(storage);
  // A bucket that is away keeps nobody from starting; what is left is found the next time.
  const sweep = (): void => void bucket.sweep().catch(() => {});
  sweep();
  setInterval(sweep, sweepEveryMs).unref();
  return bucket;
}
