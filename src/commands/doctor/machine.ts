/** Checks of the machine: Node, settings, ffmpeg, disk and Redis. */

import { access, constants, mkdir } from 'node:fs/promises';
import { calledAs } from '../../called-as.ts';
import { type Config, unknownSettings } from '../../config.ts';
import { freeSpace, whatIsFull } from '../../disk-space.ts';
import { errorCatalogue, isKinoraError, serializeError } from '../../errors.ts';
import { type BotEntry, botEntries } from '../../queue/bot-registry.ts';
import { Keys } from '../../queue/keys.ts';
import { asRefusal, assertTrustworthy, connectRedis, redisTime } from '../../queue/redis.ts';
import { assertSchema } from '../../queue/schema.ts';
import { servedShards } from '../../queue/shard-leases.ts';
import { findFfmpeg } from '../../video/ffmpeg-path.ts';
import { type Check, failedCheck } from './check.ts';

const oldestNode = [20, 19] as const;
const scarceDiskBytes = 2 * 1024 ** 3;
/** Clocks that differ by more make waits and days of people wrong. */
const mostApartMs = 60_000;

export function checkNode(): Check {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const detail = `Node ${process.versions.node} on ${process.platform}-${process.arch}`;
  if (major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])) {
    return { name: 'Node', state: 'ok', detail };
  }
  return { name: 'Node', state: 'fail', detail, remedy: `Install Node ${oldestNode.join('.')} or newer.` };
}

/** @param problems as inspectConfig() finds them */
export function checkSettings(problems: readonly string[]): Check {
  if (problems.length > 0) {
    const { remedy } = errorCatalogue.INVALID_CONFIG;
    return { name: 'settings', state: 'fail', detail: `${problems.join('; ')}.`, remedy };
  }
  const unknown = unknownSettings();
  if (unknown.length === 0) return { name: 'settings', state: 'ok', detail: 'every one is understood' };
  return {
    name: 'settings',
    state: 'warn',
    detail: `without effect: ${unknown.join(', ')}`,
    remedy: 'Correct the spelling by .env.example, which shows every setting.',
  };
}

export async function checkFfmpeg(config: Config): Promise<Check> {
  try {
    const { path, version, source } = await findFfmpeg({ ffmpegPath: config.ffmpegPath });
    const origin = { configured: 'FFMPEG_PATH', path: 'PATH', npm: 'npm' }[source];
    const detail = `${version} with libx264 (${path}, from ${origin})`;
    if (source !== 'npm') return { name: 'ffmpeg', state: 'ok', detail };
    const remedy = 'Install a newer one by "sudo apt install ffmpeg" or "brew install ffmpeg".';
    return { name: 'ffmpeg', state: 'warn', detail: `${detail}; an old build`, remedy };
  } catch (error) {
    return failedCheck('ffmpeg', error);
  }
}

export async function checkDisk(config: Config): Promise<Check> {
  try {
    await mkdir(config.dataDir, { recursive: true });
    await access(config.dataDir, constants.W_OK);
    const space = await freeSpace(config.dataDir);
    const full = whatIsFull(space, config.jobFiles.minFreeBytes);
    if (full !== undefined) {
      const detail = `the disk of ${config.dataDir} ${full}, so no requests are taken`;
      return { name: 'disk', state: 'fail', detail, remedy: errorCatalogue.DISK_FULL.remedy };
    }
    const detail = `${(space.bytes / 1024 ** 3).toFixed(1)} GiB free in ${config.dataDir}`;
    if (space.bytes >= scarceDiskBytes) return { name: 'disk', state: 'ok', detail };
    return { name: 'disk', state: 'warn', detail, remedy: 'Free some space, or lower KINORA_CACHE_DISK_MB.' };
  } catch (error) {
    const remedy = 'Set KINORA_DATA_DIR to a folder that you may write to.';
    return { name: 'disk', state: 'fail', detail: serializeError(error).message, remedy };
  }
}

export async function checkRedis(config: Config): Promise<Check> {
  if (config.redis === undefined) {
    return {
      name: 'Redis',
      state: 'ok',
      detail: `REDIS_URL is not set; "${calledAs('animate')}" needs none`,
    };
  }
  const redis = connectRedis(config.redis, 'fail-fast', () => {});
  try {
    const forgets = await assertTrustworthy(redis);
    await assertSchema(redis, new Keys());
    const apartMs = Math.abs((await redisTime(redis)) - Date.now());
    if (forgets !== undefined) {
      const remedy = 'Accepted jobs come back by their folders; bans, allowances and rules would be lost.';
      return { name: 'Redis', state: 'warn', detail: forgets, remedy };
    }
    if (apartMs > mostApartMs) {
      const detail = `its clock and that of this machine are ${Math.round(apartMs / 1000)} s apart`;
      return { name: 'Redis', state: 'warn', detail, remedy: 'Let both machines set their clocks by NTP.' };
    }
    const bots = (await botEntries(redis, new Keys())).filter(({ isAlive }) => isAlive);
    const said = `${saidOf(bots)}${saidOfShards(bots, await servedShards(redis, new Keys()))}`;
    return { name: 'Redis', state: 'ok', detail: `answers and keeps what it is given${said}` };
  } catch (cause) {
    const error = asRefusal(cause);
    if (isKinoraError(error)) return failedCheck('Redis', error);
    const remedy = 'Start Redis, or correct REDIS_URL.';
    // The address may hold a password, so it is not printed.
    return { name: 'Redis', state: 'fail', detail: 'does not answer', remedy };
  } finally {
    redis.disconnect();
  }
}

/** Which bot serves which shards of Discord, where they share them. */
function saidOfShards(bots: readonly BotEntry[], served: ReadonlyMap<string, readonly number[]>): string {
  const sharing = bots.filter(({ shards }) => shards !== undefined);
  const shares = sharing.map(({ id, host, pid }) => {
    const shards = served.get(id) ?? [];
    return `${shards.length === 0 ? 'none' : shards.join(', ')} by ${host.split(' ')[0]} (process ${pid})`;
  });
  return shares.length === 0 ? '' : `; shards of Discord: ${shares.join('; ')}`;
}

/** Which bot leads, where there are several. */
function saidOf(bots: readonly BotEntry[]): string {
  if (bots.length < 2) return '';
  const leader = bots.find(({ leads }) => leads);
  const where = leader ? `on ${leader.host.split(' ')[0]} (process ${leader.pid})` : 'none now';
  return `; of ${bots.length} bots, the one that leads is ${where}`;
}
