/** `kinora bot`, `kinora worker`, and `kinora start`, which runs both and, where none is given, a Redis of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { InboxPlatform } from '../bot/inbox.ts';
import { startBot } from '../bot/main.ts';
import { BotMetrics } from '../bot/metrics.ts';
import type { ChatPlatform } from '../bot/platform.ts';
import type { Config } from '../config.ts';
import type { EngineStatus } from '../engine/supervisor.ts';
import { errorCatalogue, isKinoraError, KinoraError } from '../errors.ts';
import type { Pack } from '../inference/packs/files.ts';
import { createLogger, type Logger } from '../log.ts';
import { RedisProbe } from '../metrics/redis-probe.ts';
import { startMetricsServer } from '../metrics/server.ts';
import { Artifacts } from '../queue/artifacts.ts';
import type { QueueTerms } from '../queue/client.ts';
import { Keys } from '../queue/keys.ts';
import { calendarDay } from '../queue/quota-day.ts';
import { assertTrustworthy, connectRedis, type RedisAddress } from '../queue/redis.ts';
import { costOf } from '../request/cost.ts';
import { hasShallowCore } from '../request/model-limits.ts';
import { generalPresets, presetNames, presetOf } from '../request/presets.ts';
import { type PrivateRedis, startPrivateRedis } from '../supervisor/private-redis.ts';
import { findFfmpeg } from '../video/ffmpeg-path.ts';
import { engineGenerate } from '../worker/generate.ts';
import { WorkerMetrics } from '../worker/metrics.ts';
import { JobWorker } from '../worker/worker.ts';
import { startEngine } from './engines.ts';
import { choosePack, deviceCandidates } from './packs.ts';

/** Longest wait between two starts of a process that keeps dying. */
const longestRestartDelayMs = 30_000;
const redisRestartDelayMs = 500;
/** Exit codes by which a part says that a setting, the model pack or the device is not as it must be. */
const refusals: ReadonlySet<number> = new Set(
  (['INVALID_CONFIG', 'PACK_INVALID', 'DEVICE_UNAVAILABLE'] as const).map(
    (code) => errorCatalogue[code].exitCode,
  ),
);

const jobsFolder = (config: Config): string => path.join(config.dataDir, 'jobs');

function sharedRedis(config: Config): RedisAddress {
  if (config.redis) return config.redis;
  throw new KinoraError(
    'INVALID_CONFIG',
    'REDIS_URL is not set; only "kinora start" brings a Redis of its own.',
  );
}

async function prepareDataFolder({ dataDir }: Config): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await access(dataDir, constants.W_OK);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const message = `KINORA_DATA_DIR: ${dataDir} cannot be written to (${code}).`;
    throw new KinoraError('INVALID_CONFIG', message, { cause });
  }
}

/** @param pack says what its presets are; a bot without one goes by the general ones */
export function terms({ queue }: Config, pack: Pack | undefined): QueueTerms {
  return {
    cost: (generation) => {
      const preset = presetNames.find((name) => name === generation.preset) ?? 'standard';
      const work = pack ? presetOf(pack.manifest, preset) : generalPresets[preset];
      return costOf(generation, queue.costs[preset] ?? 1, work);
    },
    day: (now) => calendarDay(now, queue.timeZone),
    cooldownMs: queue.cooldownMs,
    limits: queue.limits,
  };
}

/** Resolves with the first signal that asks the process to end. */
function endRequested(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve());
  });
}

/** How long Redis is waited for when a process ends: what was accepted is safe there already. */
const farewellMs = 5_000;
/** How long the engine may need to let go of a job that is handed back. */
const handBackMs = 10_000;

/**
 * Starts a part of Kinora, serves until it is asked to end, and stops it politely within `patienceMs`. Whatever it is
 * doing, even starting, it ends at once when "kinora start" was killed without a word: its Redis went too.
 */
async function serve(start: () => Promise<() => Promise<void>>, patienceMs: number): Promise<never> {
  process.on('disconnect', () => process.exit(1));
  const ended = endRequested();
  const stop = await Promise.race([start(), ended]);
  if (stop) {
    await ended;
    await Promise.race([stop(), sleep(patienceMs + farewellMs)]);
  }
  // Connections that wait for a lost Redis, and the channel to the parent, would keep the process alive.
  process.exit(0);
}

/** The chats that the settings switch on; the libraries of the others are not loaded. */
async function platformsOf(config: Config, log: Logger): Promise<ChatPlatform[]> {
  const { dataDir, ffmpegPath, discord, telegram } = config;
  const platforms: ChatPlatform[] = [];
  if (config.inboxFolder !== undefined) platforms.push(new InboxPlatform(config.inboxFolder, log));
  if (discord) {
    const { DiscordPlatform } = await import('../bot/discord/adapter.ts');
    const { adminServerIds: ownerGuildIds, ...rest } = discord;
    platforms.push(new DiscordPlatform({ ...rest, ownerGuildIds, dataFolder: dataDir, ffmpegPath, log }));
  }
  if (telegram) {
    const { TelegramPlatform } = await import('../bot/telegram/adapter.ts');
    platforms.push(new TelegramPlatform({ ...telegram, dataFolder: dataDir, ffmpegPath, log }));
  }
  return platforms;
}

/** Refused by "kinora start" itself rather than by a part that would be started again and again. */
function assertSomeChat({ inboxFolder, discord, telegram }: Config): void {
  if (inboxFolder !== undefined || discord || telegram) return;
  throw new KinoraError(
    'INVALID_CONFIG',
    'There is nothing to take requests from: set KINORA_DISCORD_TOKEN, KINORA_TELEGRAM_TOKEN or KINORA_INBOX.',
  );
}

const cacheFolder = (config: Config): string => path.join(config.dataDir, 'cache');

/** A connection of its own, whose troubles the others report. */
const metricsProbe = (address: RedisAddress): RedisProbe =>
  new RedisProbe(
    connectRedis(address, 'fail-fast', () => {}),
    new Keys(),
  );

/** Serves until it is asked to end. */
export async function runBot(config: Config): Promise<void> {
  const log = createLogger('bot', config.logLevel);
  assertSomeChat(config);
  const address = sharedRedis(config);
  const options = {
    address,
    cacheFolder: cacheFolder(config),
    jobsFolder: jobsFolder(config),
    jobFiles: config.jobFiles,
    expireAfterMs: config.queue.expireAfterMs,
    log,
  };
  await serve(async () => {
    await prepareDataFolder(config);
    const { metricsPorts } = config;
    const metrics = metricsPorts && new BotMetrics(metricsProbe(address));
    if (metrics) await startMetricsServer(metricsPorts.bot, metrics);
    const { path: ffmpegPath } = await findFfmpeg({ ffmpegPath: config.ffmpegPath });
    // Where the bot runs apart from its workers, it may have no pack.
    const pack = await choosePack(config, config.model).catch(() => undefined);
    const bot = await startBot({
      ...options,
      terms: terms(config, pack),
      ...(pack ? { manifest: pack.manifest } : {}),
      platforms: await platformsOf(config, log),
      ffmpegPath,
      ...(metrics ? { metrics } : {}),
    });
    return () => bot.stop();
  }, 0);
}

/** Refused at the start rather than for every job. */
function assertShortcuts({ shortcuts }: Config, { manifest }: Pack): void {
  const { featureReuse = 1 } = shortcuts;
  if (featureReuse === 1 || hasShallowCore(manifest)) return;
  throw new KinoraError(
    'INVALID_CONFIG',
    `KINORA_REUSE is ${featureReuse}, but the model pack ${manifest.id} was exported without --deepcache.`,
  );
}

/** Serves until it is asked to end; the job in hand may finish within the grace period, else it is handed back. */
export async function runWorker(config: Config): Promise<void> {
  const log = createLogger('worker', config.logLevel);
  const address = sharedRedis(config);
  await serve(async () => {
    await prepareDataFolder(config);
    const redis = connectRedis(address, 'patient', (error) => log.warn({ err: error.message }, 'redis'));
    await assertTrustworthy(redis);
    const pack = await choosePack(config, config.model);
    assertShortcuts(config, pack);
    let engineStatus: () => EngineStatus | undefined = () => undefined;
    const metrics =
      config.metricsPorts &&
      new WorkerMetrics({
        probe: metricsProbe(address),
        engineStatus: () => engineStatus(),
        device: deviceCandidates(config.device, pack)[0] ?? 'cpu',
        cacheFolder: cacheFolder(config),
      });
    // Before the model is loaded, which may take minutes.
    if (metrics) await startMetricsServer(config.metricsPorts.worker, metrics);
    const { engine, device, choice, advice } = await startEngine(config, pack, config.device, log);
    if (advice !== undefined) log.warn({ device }, advice);
    engineStatus = () => engine.status();
    try {
      await engine.ready();
    } catch (error) {
      await engine.stop();
      throw error;
    }
    process.stderr.write(`The model ${pack.manifest.id} runs on ${choice}.\n`);
    const generate = engineGenerate(engine, pack, config.metadata, config.shortcuts);
    const worker = new JobWorker(
      redis,
      new Artifacts(jobsFolder(config)),
      metrics?.measured(generate) ?? generate,
      log,
      { device, costs: config.queue.costs },
    );
    await worker.start();
    return async () => {
      await worker.stop(config.queue.graceMs);
      await engine.stop();
    };
  }, config.queue.graceMs + handBackMs);
}

/** One that does not answer may still come up: the parts wait for it. */
async function refuseUntrustworthy(address: RedisAddress): Promise<void> {
  const redis = connectRedis(address, 'fail-fast', () => {});
  try {
    await assertTrustworthy(redis);
  } catch (error) {
    if (isKinoraError(error)) throw error;
  } finally {
    redis.disconnect();
  }
}

/**
 * Everything on one machine. A part that dies is started again, unless it refused its settings at the first start; when
 * this process ends, all of it does.
 */
export async function runAll(config: Config): Promise<void> {
  const log = createLogger('kinora', config.logLevel);
  assertSomeChat(config);
  assertShortcuts(config, await choosePack(config, config.model));
  await prepareDataFolder(config);
  if (config.redis) await refuseUntrustworthy(config.redis);
  const ended = endRequested();
  const ownRedis = config.redis ? undefined : await OwnRedis.start(config.dataDir, log, ended);
  const environment = ownRedis ? { ...process.env, REDIS_URL: `unix://${ownRedis.socketPath}` } : process.env;
  const parts = (['bot', 'worker'] as const).map((name) => new Part(name, environment, log));
  process.stderr.write(
    `Kinora is running: model ${config.model}, ${ownRedis ? 'its own Redis' : 'your Redis'}, data in ${config.dataDir}.\n`,
  );
  try {
    // A part that refuses has said why itself.
    const refused = await Promise.race([
      ended,
      ...parts.map((part) => part.refused),
      ...(ownRedis ? [ownRedis.lost] : []),
    ]);
    if (refused !== undefined) process.exitCode = refused;
  } finally {
    // The worker may need its grace period; the bot goes on delivering what it finishes.
    for (const part of parts.reverse()) await part.stop();
    await ownRedis?.stop();
  }
}

/** The private Redis, kept running: what it had acknowledged is in its file, and everybody connects again. */
class OwnRedis {
  readonly socketPath: string;
  /** Rejects when it died and cannot be started again. */
  readonly lost: Promise<never>;
  #server: PrivateRedis;
  readonly #stopping = new AbortController();

  private constructor(server: PrivateRedis, dataDir: string, log: Logger) {
    this.#server = server;
    this.socketPath = server.socketPath;
    this.lost = this.#keepRunning(dataDir, log);
    this.lost.catch(() => {}); // whoever is ending anyway does not listen
  }

  /** It may need its time to load what it keeps; whoever asks the process to `end` meanwhile is not kept waiting. */
  static async start(dataDir: string, log: Logger, end: Promise<void>): Promise<OwnRedis> {
    const starting = startPrivateRedis(dataDir, log);
    const server = await Promise.race([starting, end]);
    return server ? new OwnRedis(server, dataDir, log) : process.exit(0);
  }

  async #keepRunning(dataDir: string, log: Logger): Promise<never> {
    const { signal } = this.#stopping;
    for (;;) {
      await this.#server.ended;
      if (!signal.aborted) {
        log.error('redis-server ended; starting it again');
        await sleep(redisRestartDelayMs, undefined, { signal }).catch(() => {});
      }
      if (signal.aborted) return await new Promise<never>(() => {});
      this.#server = await startPrivateRedis(dataDir, log);
      if (signal.aborted) await this.#server.stop();
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#server.stop();
  }
}

/** One process of `kinora start`, kept running. */
class Part {
  readonly #name: 'bot' | 'worker';
  readonly #environment: NodeJS.ProcessEnv;
  readonly #log: Logger;
  readonly #done: Promise<void>;
  /** Resolves with the exit code when its first start ended by a refusal that the next one would only repeat. */
  readonly refused: Promise<number>;
  #refuse: (code: number) => void = () => {};
  #child: ChildProcess | null = null;
  readonly #stopping = new AbortController();

  constructor(name: 'bot' | 'worker', environment: NodeJS.ProcessEnv, log: Logger) {
    this.#name = name;
    this.#environment = environment;
    this.#log = log;
    this.refused = new Promise((resolve) => {
      this.#refuse = resolve;
    });
    this.#done = this.#keepRunning();
  }

  async #keepRunning(): Promise<void> {
    let isFirst = true;
    for (let failures = 0; !this.#stopping.signal.aborted; failures++) {
      const startedAt = Date.now();
      const entry = fileURLToPath(new URL('../kinora.mjs', import.meta.url));
      // A group of its own: Ctrl-C in a terminal reaches us alone, and we end the parts in order.
      const child = spawn(process.execPath, [entry, this.#name], {
        env: this.#environment,
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        detached: true,
      });
      this.#child = child;
      const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
      if (this.#stopping.signal.aborted) return;
      if (isFirst && code !== null && refusals.has(code)) return this.#refuse(code);
      isFirst = false;
      if (Date.now() - startedAt > longestRestartDelayMs) failures = 0;
      const delayMs = Math.min(500 * 2 ** failures, longestRestartDelayMs);
      this.#log.error({ part: this.#name, code, signal, delayMs }, 'a part ended; starting it again');
      await sleep(delayMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#child?.kill('SIGTERM');
    await this.#done;
  }
}
