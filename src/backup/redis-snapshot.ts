/** All that Kinora keeps in Redis, as it was at one moment, and back. */
import type { Redis as SingleRedis } from 'ioredis';
import { z } from 'zod';
import { KinoraError } from '../errors.ts';
import type { Keys } from '../queue/keys.ts';
import { type Redis, replies, scanKeys, serversOf } from '../queue/redis.ts';

/** Requests may come in all the while: a look that they changed is repeated. */
const mostLooks = 100;
const keysAtOnce = 500;

export const storedKeySchema = z.object({
  key: z.string(),
  /** Ms since 1970 by the clock of that Redis; null: never. */
  expiresAt: z.int().nullable(),
  /** Redis's own serialisation (DUMP), in Base64. */
  dump: z.base64(),
});
export type StoredKey = z.infer<typeof storedKeySchema>;

/** The one that has the keys: all are in one slot of a Cluster. */
async function serverOf(redis: Redis, keys: Keys): Promise<SingleRedis> {
  const [server] = await serversOf(redis, keys);
  if (!server) throw new KinoraError('INTERNAL', 'No server of the Cluster holds the keys now.');
  return server;
}

async function namesOf(redis: Redis, keys: Keys): Promise<Set<string>> {
  const names = new Set<string>();
  for await (const batch of scanKeys(redis, keys, `${keys.prefix}:*`, keysAtOnce)) {
    for (const name of batch) names.add(name);
  }
  return names;
}

/**
 * Reads all keys in one transaction, during which Redis answers nobody else, and which this process holds in memory.
 * @param redis a patient connection: with many keys the answer takes longer than a person would wait
 * @throws KinoraError INTERNAL when so much happens that no transaction names every key
 */
export async function readKeys(redis: Redis, keys: Keys): Promise<StoredKey[]> {
  const server = await serverOf(redis, keys);
  const names = await namesOf(redis, keys);
  for (let look = 0; look < mostLooks; look++) {
    const asked = [...names];
    const batch = server.multi().keys(`${keys.prefix}:*`).time();
    for (const name of asked) batch.pttl(name);
    for (const name of asked) batch.dumpBuffer(name);
    const number = z.coerce.number();
    const [found, [seconds, microseconds], ...rest] = replies(
      await batch.exec(),
      z.tuple(
        [z.array(z.string()), z.tuple([number, number])],
        z.union([z.int(), z.instanceof(Buffer), z.null()]),
      ),
    );
    const isComplete = found.every((name) => names.has(name));
    for (const name of found) names.add(name);
    if (!isComplete) continue;
    const now = seconds * 1000 + Math.floor(microseconds / 1000);
    return asked.flatMap((key, index) => {
      const [leftMs, dump] = [rest[index], rest[asked.length + index]];
      if (typeof leftMs !== 'number' || !Buffer.isBuffer(dump)) return []; // it expired
      return { key, expiresAt: leftMs < 0 ? null : now + leftMs, dump: dump.toString('base64') };
    });
  }
  throw new KinoraError(
    'INTERNAL',
    'Redis never stood still for a moment; try again when less is asked for.',
  );
}

/**
 * Tries one key of each kind of data, and leaves nothing behind.
 * @throws KinoraError INVALID_CONFIG when this Redis cannot read what the other one wrote
 */
export async function assertReadable(redis: Redis, keys: Keys, stored: readonly StoredKey[]): Promise<void> {
  // The first byte of a dump says its kind.
  const kinds = new Map(stored.map(({ dump }) => [Buffer.from(dump.slice(0, 4), 'base64')[0], dump]));
  const key = `${keys.prefix}:restore-try`;
  const expiresAt = Date.now() + 3_600_000;
  try {
    await writeKeys(
      redis,
      keys,
      [...kinds.values()].map((dump) => ({ key, expiresAt, dump })),
    );
  } finally {
    await redis.unlink(key);
  }
}

/** Whether nothing of this installation is there. */
export async function isEmpty(redis: Redis, keys: Keys): Promise<boolean> {
  return (await namesOf(redis, keys)).size === 0;
}

export async function removeKeys(redis: Redis, keys: Keys): Promise<void> {
  const names = [...(await namesOf(redis, keys))];
  for (let at = 0; at < names.length; at += keysAtOnce)
    await redis.unlink(...names.slice(at, at + keysAtOnce));
}

/**
 * Writes keys whose time has not come since. The version of the data comes last: a process that starts meanwhile finds
 * data that nobody vouches for.
 * @throws KinoraError INVALID_CONFIG when this Redis cannot read what the other one wrote
 */
export async function writeKeys(redis: Redis, keys: Keys, stored: readonly StoredKey[]): Promise<void> {
  const server = await serverOf(redis, keys);
  const isLast = ({ key }: StoredKey): boolean => key === keys.schema;
  const ordered = [...stored.filter((each) => !isLast(each)), ...stored.filter(isLast)];
  for (let at = 0; at < ordered.length; at += keysAtOnce) {
    const batch = server.pipeline();
    for (const { key, expiresAt, dump } of ordered.slice(at, at + keysAtOnce)) {
      batch.restore(key, expiresAt ?? 0, Buffer.from(dump, 'base64'), 'REPLACE', 'ABSTTL');
    }
    for (const [error] of (await batch.exec()) ?? []) {
      if (error?.message.includes('DUMP payload version')) throw otherRedis();
      if (error) throw error;
    }
  }
}

function otherRedis(): KinoraError {
  return new KinoraError(
    'INVALID_CONFIG',
    'This Redis cannot read what the other one wrote: restore onto one of the same kind and at least its version, which the backup names in kinora.json.',
  );
}
