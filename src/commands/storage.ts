/** The storage that the settings name. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import type { Logger } from '../log.ts';
import { FolderStorage } from '../storage/folder-storage.ts';
import type { S3Storage } from '../storage/s3-storage.ts';
import type { Storage } from '../storage/storage.ts';

/** How long a copy may outlive its job on a machine whose process died with it. */
const sweepEveryMs = 300_000;

type Settings = Pick<Config, 'storage' | 'jobsFolder'>;

/** For a command that looks once: it may mean another bucket than what serves on this machine, so it removes no copies. */
export async function openStorage({ storage, jobsFolder }: Settings): Promise<Storage> {
  return storage ? await openBucket(storage) : new FolderStorage(jobsFolder);
}

/** For a bot or a worker, which removes what those before it left on this machine. */
export async function openServedStorage({ storage, jobsFolder }: Settings, log: Logger): Promise<Storage> {
  if (!storage) return new FolderStorage(jobsFolder);
  const bucket = await openBucket(storage);
  // A bucket that is away keeps nobody from starting; what is left is found the next time.
  void keepSwept(bucket, log);
  return bucket;
}

/** Loads the client of S3 only where it is used. */
async function openBucket(storage: NonNullable<Config['storage']>): Promise<S3Storage> {
  const { S3Storage } = await import('../storage/s3-storage.ts');
  return new S3Storage(storage);
}

/** Says each fault once, until another one or none takes its place. */
async function keepSwept(bucket: S3Storage, log: Logger): Promise<never> {
  let said = '';
  for (;;) {
    const fault = await bucket.sweep().then(() => '', String);
    if (fault !== '' && fault !== said)
      log.warn({ err: fault }, 'not all old working copies could be removed');
    said = fault;
    await sleep(sweepEveryMs, undefined, { ref: false });
  }
}
