/** Which version of Kinora's data lies in Redis: two versions over one Redis would undo each other's work. */
import { Cluster } from 'ioredis';
import { KinoraError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { adoptUntagged } from './adopt.ts';
import type { Keys } from './keys.ts';
import { type Redis, untilRedisCan } from './redis.ts';

/** To be raised when an older Kinora could no longer read what this one writes, or the other way round. */
const schemaVersion = 2;
/** Versions whose names of keys had no hash tag wrote this one; they find the present one while their data are moved, and after. */
const untaggedVersion = 1;

/** How long processes of an earlier version may take to end: the heartbeat of one that was killed lives ten seconds. */
const quietMs = 15_000;

/**
 * Says that this version uses the data from now on, and takes over those of an earlier one.
 * @throws KinoraError INVALID_CONFIG when they are of a later version, or processes of an earlier one still use them
 */
export async function claimSchema(
  redis: Redis,
  keys: Keys,
  log: Logger,
  quietWithinMs = quietMs,
): Promise<void> {
  await assertSchema(redis, keys);
  if ((await redis.get(keys.schema)) !== null) return;
  const before = await untaggedSchema(redis, keys);
  if (before === undefined) {
    log.warn(
      'the user of Redis has no right to keys of earlier versions: if there are any, they stay behind',
    );
  } else if (!(redis instanceof Cluster)) {
    await adoptUntagged(redis, keys, { version: schemaVersion, before, quietWithinMs }, log);
  } else if (before !== null) {
    throw new KinoraError(
      'INVALID_CONFIG',
      'REDIS_URL: this Cluster holds the data of an earlier version of Kinora, which cannot be renamed there: start this version once over a single Redis with those data, then bring them to the Cluster; docs/redis.md tells how.',
    );
  }
  await untilRedisCan(() => redis.set(keys.schema, schemaVersion, 'NX'));
}

/** Changes nothing. @throws KinoraError INVALID_CONFIG when the data are of another version that this one cannot take over */
export async function assertSchema(redis: Redis, keys: Keys): Promise<void> {
  const found = await redis.get(keys.schema);
  const untagged = found === null ? await untaggedSchema(redis, keys) : null;
  const known = [String(schemaVersion), ...(found === null ? [String(untaggedVersion)] : [])];
  const version = found ?? untagged ?? null;
  if (version === null || known.includes(version)) return;
  throw new KinoraError(
    'INVALID_CONFIG',
    `REDIS_URL: this Redis holds the data of another version of Kinora (its schema is ${version.slice(0, 20)}, this one is ${schemaVersion}): use one version everywhere, or another Redis.`,
  );
}

/**
 * For commands that write without having claimed the data: what they wrote would keep those of an earlier version from
 * being taken over.
 * @throws KinoraError INVALID_CONFIG while they are not
 */
export async function assertAdopted(redis: Redis, keys: Keys): Promise<void> {
  await assertSchema(redis, keys);
  if ((await redis.get(keys.schema)) !== null) return;
  const untagged = await untaggedSchema(redis, keys);
  if (untagged === null || untagged === undefined) return;
  throw new KinoraError(
    'INVALID_CONFIG',
    'This Redis holds the data of an earlier version of Kinora: start this version once, which takes them over.',
  );
}

/** What an earlier version finds: null where there was none, undefined where the user has no right to its keys. */
async function untaggedSchema(redis: Redis, keys: Keys): Promise<string | null | undefined> {
  try {
    return await redis.get(keys.untagged.schema);
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('NOPERM')) return undefined;
    throw error;
  }
}
