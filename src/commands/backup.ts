/** `kinora backup` and `kinora restore`: all that is kept, in one file. */
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { replaceFile } from '../atomic-file.ts';
import { type About, readArchive, writeArchive } from '../backup/archive.ts';
import {
  assertReadable,
  isEmpty,
  readKeys,
  removeKeys,
  type StoredKey,
  writeKeys,
} from '../backup/redis-snapshot.ts';
import type { Config } from '../config.ts';
import { isThere } from '../is-there.ts';
import { createLogger } from '../log.ts';
import { Artifacts } from '../queue/artifacts.ts';
import { isInUse } from '../queue/in-use.ts';
import { Keys } from '../queue/keys.ts';
import { storedModeSchema } from '../queue/mode.ts';
import { connectRedis, type Redis, type RedisAddress } from '../queue/redis.ts';
import { assertAdopted } from '../queue/schema.ts';
import type { Place } from '../storage/storage.ts';
import { privateSocket, startPrivateRedis } from '../supervisor/private-redis.ts';
import { CommandError } from './command-error.ts';
import { choosePack } from './packs.ts';
import { prepareDataFolder } from './process.ts';
import { openStorage } from './storage.ts';

const megabyte = 1e6;

/** Of a running Kinora or of one that rests. @throws CommandError when the file is there */
export async function backUp(config: Config, version: string, file: string, force: boolean): Promise<void> {
  if (!force && (await isThere(file))) {
    throw new CommandError(`${file} is there already; name another file, or add --force.`, 'INVALID_OPTION');
  }
  // On a machine without workers there may be no packs.
  const found = await Promise.all(
    config.models.map((name) => choosePack(config, name).catch(() => undefined)),
  );
  const packs = found.flatMap((pack) => (pack ? [{ id: pack.manifest.id, folder: pack.folder }] : []));
  await withRedis(config, async (redis) => {
    // Redis before the files: what is answered meanwhile is marked in its folder, so no restore answers it again.
    const keys = await readKeys(redis, new Keys());
    const about = {
      ...{ version, packs, keys: keys.length, redis: await kindOf(redis) },
      createdAt: new Date().toISOString(),
    };
    const storage = await openStorage(config);
    const { files, bytes } = await replaceFile(path.resolve(file), async (temporary) => {
      await rm(temporary, { force: true });
      return await writeArchive(temporary, about, keys, storage, config.dataDir);
    });
    const models = packs.map(({ folder }) => ` (${folder})`).join(',');
    process.stderr.write(
      `${file}: ${keys.length} keys of Redis and ${files} files of jobs, ${(bytes / megabyte).toFixed(1)} MB. Settings (.env) and models${models} are not inside.\n`,
    );
  });
}

/**
 * Onto a machine whose Kinora is not running.
 * @param replace removes what is there
 * @throws CommandError when something is there, or Kinora runs
 */
export async function restore(config: Config, file: string, replace: boolean): Promise<void> {
  await prepareDataFolder(config);
  // Read once as a whole first: nothing is touched for a file that is cut off.
  let about: About | undefined;
  let stored: readonly StoredKey[] = [];
  await readArchive(file, {
    onAbout: async (found) => {
      about = found;
    },
    onKeys: async (found) => {
      stored = [...stored, ...found];
    },
    onFile: async () => {},
    onDataFile: async () => {},
  });
  const storage = await openStorage(config);
  const keys = new Keys();
  await withRedis(config, async (redis) => {
    if (await isInUse(redis, keys)) {
      throw new CommandError('Kinora runs on this data: end its bots and workers first.', 'INVALID_CONFIG');
    }
    // Whatever else lies there is somebody else's, whose folders may be named alike.
    const artifacts = new Artifacts(storage);
    const folders = await artifacts.list();
    if (!replace && (folders.length > 0 || !(await isEmpty(redis, keys)))) {
      throw new CommandError(
        'There are data of Kinora here already; --replace removes them, and puts the backup in their place.',
        'INVALID_CONFIG',
      );
    }
    await assertReadable(redis, keys, stored);
    await removeKeys(redis, keys);
    for (const { jobId } of folders) await artifacts.removeOwn(jobId);
    const onFile = async (place: Place, content: Buffer): Promise<void> => {
      await storage.put(place, content);
    };
    const onDataFile = async (name: string, content: Buffer): Promise<void> => {
      await replaceFile(path.join(config.dataDir, name), async (temporary) => {
        await writeFile(temporary, content, { mode: 0o600 });
      });
    };
    const skip = async (): Promise<void> => {};
    const { files } = await readArchive(file, { onAbout: skip, onKeys: skip, onFile, onDataFile });
    await writeKeys(redis, keys, stored);
    process.stderr.write(`${stored.length} keys of Redis and ${files} files of jobs are back.\n`);
    const mode = storedModeSchema.parse(await redis.get(keys.mode));
    if (mode !== 'running') {
      process.stderr.write(
        `Kinora is ${mode}, as when the backup was made: requests are refused until an admin resumes it, by /resume or on the page.\n`,
      );
    }
  });
  for (const { id, folder } of about?.packs ?? []) {
    process.stderr.write(
      `It was made with the model ${id} (${folder}): KINORA_MODEL must find it here, too.\n`,
    );
  }
}

async function kindOf(redis: Redis): Promise<string> {
  const info = await redis.info('server');
  const value = (field: string): string | undefined =>
    new RegExp(`^${field}:(.+?)\\r?$`, 'm').exec(info)?.[1];
  const valkey = value('valkey_version');
  return valkey ? `Valkey ${valkey}` : `Redis ${value('redis_version') ?? 'unknown'}`;
}

/** That of the settings, that of a running "kinora start", or the private one of the data folder, started for as long. */
async function withRedis(config: Config, use: (redis: Redis) => Promise<void>): Promise<void> {
  if (config.redis) return await connected(config.redis, use);
  const address = { socketPath: privateSocket(config.dataDir) };
  if (await answers(address)) return await connected(address, use);
  const server = await startPrivateRedis(config.dataDir, createLogger('backup', config.logLevel));
  try {
    await connected(address, use);
  } finally {
    await server.stop();
  }
}

async function answers(address: RedisAddress): Promise<boolean> {
  return await connected(address, async () => {}).then(
    () => true,
    () => false,
  );
}

async function connected(address: RedisAddress, use: (redis: Redis) => Promise<void>): Promise<void> {
  const asking = connectRedis(address, 'fail-fast', () => {});
  try {
    await asking.ping().catch(() => {
      throw new CommandError('Redis does not answer: start it, or correct REDIS_URL.', 'INVALID_CONFIG');
    });
    await assertAdopted(asking, new Keys());
  } finally {
    asking.disconnect();
  }
  const redis = connectRedis(address, 'patient', () => {});
  try {
    await use(redis);
  } finally {
    redis.disconnect();
  }
}
