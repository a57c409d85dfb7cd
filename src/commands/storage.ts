/** The storage that the settings name. */
import type { Config } from '../config.ts';
import { FolderStorage } from '../storage/folder-storage.ts';
import type { Storage } from '../storage/storage.ts';

export async function openStorage({ jobsFolder }: Config): Promise<Storage> {
  return new FolderStorage(jobsFolder);
}
