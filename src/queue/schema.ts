/** Which version of Kinora's data lies in Redis: two versions over one Redis would undo each other's work. */
import type { Redis } from 'ioredis';
import { KinoraError } from '../errors.ts';
import type { Keys } from './keys.ts';
import { untilRedisCan } from './redis.ts';

/** To be raised when an older Kinora could no longer read what this one writes, or the other way round. */
const schemaVersion = 1;

/**
 * Says that this version uses the data from now on.
 * @throws KinoraError INVALID_CONFIG when they are of another version
 */
export async function claimSchema(redis: Redis, keys: Keys): Promise<void> {
  await untilRedisCan(() => redis.set(keys.schema, schemaVersion, 'NX'));
  await assertSchema(redis, keys);
}

/** Changes nothing. @throws KinoraError INVALID_CONFIG when the data are of another version */
export async function assertSchema(redis: Redis, keys: Keys): Promise<void> {
  const found = await redis.get(keys.schema);
  if (found === null || found === String(schemaVersion)) return;
  throw new KinoraError(
    'INVALID_CONFIG',
    `REDIS_URL: this Redis holds the data of another version of Kinora (its schema is ${found.slice(0, 20)}, this one is ${schemaVersion}): use one version everywhere, or another Redis.`,
  );
}
