/** The storage that the settings name. */
import type { Config } from '../config.ts';
import { FolderStorage } from '../storage/folder-storage.ts';
import type { Storage } from '../storage/storage.ts';

/** Loads the client of S3 only where it is used. */
export async function openStorage({
  storage,
  jobsFolder,
}: Pick<Config, 'storage' | 'jobsFolder'>): Promise<Storage> {
  if (!storage) return new FolderStorage(jobsFolder);
  const { S3Storage } = await import('../storage/s3-storage.ts');
  const bucket = new S3Storage(storage);
  await bucket.sweep();
  return bucket;
}
