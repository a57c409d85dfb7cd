/** `kinora doctor`: what is there, what is missing, and what to do about it. */
import { access, constants, mkdir, statfs } from 'node:fs/promises';
import { type Config, unknownSettings } from '../../config.ts';
import { errorCatalogue, isKinoraError, KinoraError, serializeError } from '../../errors.ts';
import { findPacks, verifyPack } from '../../inference/packs/files.ts';
import { createLogger } from '../../log.ts';
import { assertTrustworthy, connectRedis } from '../../queue/redis.ts';
import { findFfmpeg } from '../../video/ffmpeg-path.ts';
import type { Check } from '../check.ts';
import { startEngine } from '../engines.ts';
import { choosePack, deviceCandidates } from '../packs.ts';
import { examineGpu } from './gpu.ts';

const oldestNode = [20, 19] as const;
const scarceDiskBytes = 2 * 1024 ** 3;

export async function examine(config: Config): Promise<Check[]> {
  const checks: (() => Promise<Check | Check[]>)[] = [
    checkNode,
    checkSettings,
    () => checkFfmpeg(config),
    () => checkPacks(config),
    () => checkGpu(config),
    () => checkDevice(config),
    () => checkDisk(config),
    () => checkRedis(config),
  ];
  const results: Check[] = [];
  for (const check of checks) results.push(...[await check()].flat());
  return results;
}

/** Prints the checks and throws when one failed. */
export async function doctor(config: Config, json: boolean): Promise<void> {
  const checks = await examine(config);
  if (json) {
    process.stdout.write(`${JSON.stringify({ checks }, null, 2)}\n`);
  } else {
    const marks = { ok: '✔', warn: '!', fail: '✖' } as const;
    for (const { name, state, detail, remedy } of checks) {
      process.stdout.write(`${marks[state]} ${name.padEnd(8)} ${detail}\n`);
      if (remedy) process.stdout.write(`  ${''.padEnd(8)} → ${remedy}\n`);
    }
  }
  if (checks.some((check) => check.state === 'fail')) process.exitCode = errorCatalogue.INTERNAL.exitCode;
}

async function checkNode(): Promise<Check> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const detail = `Node ${process.versions.node} on ${process.platform}-${process.arch}`;
  if (major > oldestNode[0] || (major === oldestNode[0] && minor >= oldestNode[1])) {
    return { name: 'Node', state: 'ok', detail };
  }
  return { name: 'Node', state: 'fail', detail, remedy: `Install Node ${oldestNode.join('.')} or newer.` };
}

async function checkSettings(): Promise<Check> {
  const unknown = unknownSettings();
  if (unknown.length === 0) return { name: 'settings', state: 'ok', detail: 'every one is understood' };
  return {
    name: 'settings',
    state: 'warn',
    detail: `without effect: ${unknown.join(', ')}`,
    remedy: 'Correct the spelling by .env.example, which shows every setting.',
  };
}

async function checkFfmpeg(config: Config): Promise<Check> {
  try {
    const { path, version, source } = await findFfmpeg({ ffmpegPath: config.ffmpegPath });
    const origin = { configured: 'FFMPEG_PATH', path: 'PATH', npm: 'npm' }[source];
    return { name: 'ffmpeg', state: 'ok', detail: `${version} with libx264 (${path}, from ${origin})` };
  } catch (error) {
    return failed('ffmpeg', error);
  }
}

async function checkPacks(config: Config): Promise<Check> {
  try {
    const pack = await choosePack(config, config.model);
    const [problem] = await verifyPack(pack);
    if (problem) throw new KinoraError('PACK_INVALID', problem);
    const others = (await findPacks(config.modelsDirs)).filter(({ folder }) => folder !== pack.folder);
    const broken = others.filter((found) => found.pack instanceof KinoraError).map((found) => found.name);
    const detail = `${pack.manifest.id} is intact${others.length > 0 ? `; ${others.length} more installed` : ''}`;
    if (broken.length === 0) return { name: 'model', state: 'ok', detail };
    return { name: 'model', state: 'warn', detail, remedy: `Remove or reinstall: ${broken.join(', ')}.` };
  } catch (error) {
    return failed('model', error);
  }
}

async function checkGpu(config: Config): Promise<Check[]> {
  try {
    return await examineGpu(config.device, await choosePack(config, config.model));
  } catch {
    return []; // the pack's own check has said what is wrong with it
  }
}

/** Opens the model as a job would, in a child of its own: a broken driver ends that one, not this. */
async function checkDevice(config: Config): Promise<Check> {
  const name = 'device';
  try {
    const pack = await choosePack(config, config.model);
    const candidates = deviceCandidates(config.device, pack);
    // Warm-up takes long and says nothing more.
    const settings = { ...config, warmUp: [] };
    const { engine, device, choice } = await startEngine(
      settings,
      pack,
      config.device,
      createLogger('engine', 'silent'),
    );
    try {
      await engine.ready();
    } finally {
      await engine.stop();
    }
    const detail = `${pack.manifest.id} opens on ${choice}`;
    if (device === candidates[0]) return { name, state: 'ok', detail };
    const remedy = 'Install what the better device lacks, or set KINORA_DEVICE=cpu.';
    return { name, state: 'warn', detail, remedy };
  } catch (error) {
    const check = failed(name, error);
    const isDevice = isKinoraError(error) && error.code === 'DEVICE_UNAVAILABLE';
    // "Run kinora doctor" is no remedy here.
    return isDevice ? { ...check, remedy: 'See the lines above, or set KINORA_DEVICE=cpu.' } : check;
  }
}

async function checkDisk(config: Config): Promise<Check> {
  try {
    await mkdir(config.dataDir, { recursive: true });
    await access(config.dataDir, constants.W_OK);
    const { bavail, bsize } = await statfs(config.dataDir);
    const free = bavail * bsize;
    const detail = `${(free / 1024 ** 3).toFixed(1)} GiB free in ${config.dataDir}`;
    if (free >= scarceDiskBytes) return { name: 'disk', state: 'ok', detail };
    return { name: 'disk', state: 'warn', detail, remedy: 'Free some space, or lower KINORA_CACHE_DISK_MB.' };
  } catch (error) {
    const remedy = 'Set KINORA_DATA_DIR to a folder that you may write to.';
    return { name: 'disk', state: 'fail', detail: serializeError(error).message, remedy };
  }
}

async function checkRedis(config: Config): Promise<Check> {
  if (config.redis === undefined) {
    return { name: 'Redis', state: 'ok', detail: 'REDIS_URL is not set; "kinora animate" needs none' };
  }
  const redis = connectRedis(config.redis, 'fail-fast', () => {});
  try {
    await assertTrustworthy(redis);
    return { name: 'Redis', state: 'ok', detail: 'answers and keeps what it is given' };
  } catch (error) {
    if (isKinoraError(error)) return failed('Redis', error);
    const remedy = 'Start Redis, or correct REDIS_URL.';
    // The address may hold a password: it is not repeated.
    return { name: 'Redis', state: 'fail', detail: 'does not answer', remedy };
  } finally {
    redis.disconnect();
  }
}

function failed(name: string, error: unknown): Check {
  const { code, message } = serializeError(error);
  return { name, state: 'fail', detail: message, remedy: errorCatalogue[code].remedy };
}
