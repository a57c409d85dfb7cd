/** `kinora bot`: the bot process alone. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type BotOptions, openBot } from '../bot/main.ts';
import { BotMetrics } from '../bot/metrics.ts';
import { Models } from '../bot/models.ts';
import type { Config } from '../config.ts';
import { errorCatalogue, KinoraError } from '../errors.ts';
import { createLogger, type Logger } from '../log.ts';
import { startMetricsServer } from '../metrics/server.ts';
import { Keys } from '../queue/keys.ts';
import { Lease } from '../queue/lease.ts';
import { shareLog } from '../queue/live-log.ts';
import { assertTrustworthy, connectRedis, type Redis, type RedisAddress } from '../queue/redis.ts';
import { claimSchema } from '../queue/schema.ts';
import { ShardLeases, servedShards } from '../queue/shard-leases.ts';
import { queueTerms } from '../queue/terms.ts';
import { findFfmpeg } from '../video/ffmpeg-path.ts';
import { assertSomeChat, forgetUpdates, type Leases, platformsOf } from './chats.ts';
import { choosePack } from './packs.ts';
import { endRequested, metricsProbe, prepareDataFolder, serve, sharedRedis } from './process.ts';
import { openServedStorage } from './storage.ts';

/** Of a bot that does not lead any more: whatever keeps the process running starts it again, and it stands by. */
const lostExitCode = 1;

/** For posts under way. One second less than serve() waits, in which the next leader is told. */
const stopWithinMs = 4_000;
const leaveWithinMs = 1_000;

/** Stands by while another bot leads, then serves until it is asked to end. */
export async function runBot(config: Config): Promise<void> {
  const log = createLogger('bot', config.logLevel);
  assertSomeChat(config);
  const address = sharedRedis(config);
  shareLog(address);
  const ending = new AbortController();
  void endRequested().then(() => ending.abort());
  const servesStandingBy = config.discord?.shardCount !== undefined;
  await serve(
    async () => await start(config, address, ending.signal, log),
    0,
    servesStandingBy ? stopWithinMs + leaveWithinMs : undefined,
  );
}

/** @returns what stops it */
async function start(
  config: Config,
  address: RedisAddress,
  ending: AbortSignal,
  log: Logger,
): Promise<() => Promise<void>> {
  await prepareDataFolder(config);
  await assertUsable(address, log);
  const leases = leasesOf(config, address, log);
  const { lease, shards } = leases;
  const { metricsPorts } = config;
  const platforms = await platformsOf(config, address, leases, log);
  const served = () => platforms.flatMap(({ servedShards = [] }) => servedShards);
  const observed = shards && { count: shards.count, served };
  const metrics = metricsPorts && new BotMetrics(metricsProbe(address), () => lease.leads, observed);
  if (metrics) await startMetricsServer(metricsPorts.bot, metrics, config.metricsHost);
  const { path: ffmpegPath } = await findFfmpeg({ ffmpegPath: config.ffmpegPath });
  // On a machine without workers there may be no packs.
  const own = await Promise.all(config.models.map((name) => choosePack(config, name).catch(() => undefined)));
  const models = new Models(own.flatMap((pack) => (pack ? [pack.manifest] : [])));
  const storage = await openServedStorage(config, log);
  const leave = async (): Promise<void> => await leaveAll(leases);
  let isStarting = true;
  // One that is asked to end while it starts is given a moment: nothing that asks its leases acts from here on.
  ending.addEventListener('abort', () => void (isStarting && leave()));
  const options: BotOptions = {
    address,
    storage,
    cacheFolder: config.cacheFolder,
    jobFiles: config.jobFiles,
    expireAfterMs: config.queue.expireAfterMs,
    terms: queueTerms(
      config.queue,
      (id) => models.of(id),
      (id) => models.factorOf(id),
    ),
    platforms,
    models,
    ffmpegPath,
    publicUrl: config.web.port ? config.web.publicUrl : undefined,
    forgetUpdates,
    mayAct: () => lease.mayAct(),
    log,
    ...(metrics ? { metrics } : {}),
  };
  try {
    // Where bots share Discord, one that stands by serves its shards.
    const serveShards = async () => {
      const bot = await openBot(options);
      isStarting = false;
      return bot;
    };
    const [hasBegun, opened] = await Promise.all([leads(lease, config, ending), shards && serveShards()]);
    isStarting = true;
    if (hasBegun && config.discord && !shards) await assertUndivided(address, log);
    const bot = opened ?? (hasBegun ? await openBot(options) : undefined);
    const stop = async (): Promise<void> => {
      await Promise.race([bot?.stop(), sleep(stopWithinMs)]).finally(leave);
    };
    if (!hasBegun || ending.aborted) {
      await stop();
      return async () => {};
    }
    await bot?.lead();
    isStarting = false;
    return stop;
  } catch (error) {
    await leave();
    throw error;
  }
}

function leasesOf({ discord }: Config, address: RedisAddress, log: Logger): Leases {
  const count = discord?.shardCount;
  // A look or a renewal that fails says so itself.
  const connection = (): Redis => connectRedis(address, 'fail-fast', () => {});
  const lease = new Lease(connection(), new Keys(), log, count);
  if (count === undefined) return { lease, shards: undefined, onRefused: undefined };
  const options = { count, botId: lease.id, isAlone: () => !lease.isFollowed };
  const shards = new ShardLeases(connection(), new Keys(), log, options, end);
  // As a start that is refused: another one would only repeat it.
  const { exitCode } = errorCatalogue.INVALID_CONFIG;
  const onRefused = () => void leaveAll({ lease, shards }).finally(() => process.exit(exitCode));
  return { lease, shards, onRefused };
}

async function leaveAll({ lease, shards }: Pick<Leases, 'lease' | 'shards'>): Promise<void> {
  await Promise.all([lease.leave(), shards?.leave()]);
}

/** Anything gentler would let what is under way go on beside what the next one does. */
const end = (): void => process.exit(lostExitCode);

/** Asks over a connection of its own, which waits for Redis. */
async function patiently<T>(
  address: RedisAddress,
  log: Logger,
  ask: (redis: Redis) => Promise<T>,
): Promise<T> {
  const redis = connectRedis(address, 'patient', (error) => log.warn({ err: error.message }, 'redis'));
  try {
    return await ask(redis);
  } finally {
    redis.disconnect();
  }
}

/** @throws KinoraError INVALID_CONFIG where other bots share Discord, and this one would serve all of it */
async function assertUndivided(address: RedisAddress, log: Logger): Promise<void> {
  const served = await patiently(address, log, async (redis) => await servedShards(redis, new Keys()));
  if ([...served.values()].flat().length === 0) return;
  throw new KinoraError(
    'INVALID_CONFIG',
    'Other bots share the shards of Discord: set KINORA_DISCORD_SHARDS to the same number here, or end them.',
  );
}

/**
 * A bot that stands by refuses at its start what one that leads would refuse; openBot asks again, since Redis may have
 * changed until it leads.
 */
async function assertUsable(address: RedisAddress, log: Logger): Promise<void> {
  await patiently(address, log, async (redis) => {
    const forgets = await assertTrustworthy(redis);
    if (forgets !== undefined) log.warn(forgets);
    await claimSchema(redis, new Keys(), log);
  });
}

/** Waits until this bot leads; false where it is asked to end before. */
async function leads(lease: Lease, { web }: Config, signal: AbortSignal): Promise<boolean> {
  let close: (() => Promise<void>) | undefined;
  const onStandingBy = async (): Promise<void> => {
    if (!web.port) return;
    const { startStandbyServer } = await import('../web/standby.ts');
    close = await startStandbyServer(web.host, web.port);
  };
  const hasBegun = await lease.lead(signal, onStandingBy, end);
  await close?.();
  return hasBegun;
}
