/** `kinora bot`: the bot process alone. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startBot } from '../bot/main.ts';
import { BotMetrics } from '../bot/metrics.ts';
import { Models } from '../bot/models.ts';
import type { Config } from '../config.ts';
import { createLogger, type Logger } from '../log.ts';
import { startMetricsServer } from '../metrics/server.ts';
import { Keys } from '../queue/keys.ts';
import { Lease } from '../queue/lease.ts';
import { shareLog } from '../queue/live-log.ts';
import { assertTrustworthy, connectRedis, type RedisAddress } from '../queue/redis.ts';
import { claimSchema } from '../queue/schema.ts';
import { queueTerms } from '../queue/terms.ts';
import { findFfmpeg } from '../video/ffmpeg-path.ts';
import { assertSomeChat, forgetUpdates, platformsOf } from './chats.ts';
import { choosePack } from './packs.ts';
import { endRequested, metricsProbe, prepareDataFolder, serve, sharedRedis } from './process.ts';
import { openServedStorage } from './storage.ts';

/** Of a bot that does not lead any more: whatever keeps the process running starts it again, and it stands by. */
const lostExitCode = 1;

/** For posts under way. One second less than serve() waits, in which the next leader is told. */
const stopWithinMs = 4_000;

/** Stands by while another bot leads, then serves until it is asked to end. */
export async function runBot(config: Config): Promise<void> {
  const log = createLogger('bot', config.logLevel);
  assertSomeChat(config);
  const address = sharedRedis(config);
  shareLog(address);
  const ending = new AbortController();
  void endRequested().then(() => ending.abort());
  await serve(async () => {
    await prepareDataFolder(config);
    await assertUsable(address, log);
    const lease = new Lease(
      connectRedis(address, 'fail-fast', () => {}), // a look or a renewal that fails says so itself
      new Keys(),
      log,
    );
    const { metricsPorts } = config;
    const metrics = metricsPorts && new BotMetrics(metricsProbe(address), () => lease.leads);
    if (metrics) await startMetricsServer(metricsPorts.bot, metrics, config.metricsHost);
    const { path: ffmpegPath } = await findFfmpeg({ ffmpegPath: config.ffmpegPath });
    // On a machine without workers there may be no packs.
    const own = await Promise.all(
      config.models.map((name) => choosePack(config, name).catch(() => undefined)),
    );
    const models = new Models(own.flatMap((pack) => (pack ? [pack.manifest] : [])));
    const storage = await openServedStorage(config, log);
    const platforms = await platformsOf(config, address, lease, log);
    let isServing = false;
    // One that is asked to end while it starts is given half a second: nothing that asks the lease acts from here on.
    ending.signal.addEventListener('abort', () => void (isServing || lease.leave()));
    if (!(await leads(lease, config, ending.signal))) return async () => {};
    const bot = await startBot({
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
    }).catch(async (error: unknown) => {
      await lease.leave();
      throw error;
    });
    isServing = true;
    return async () => {
      await Promise.race([bot.stop(), sleep(stopWithinMs)]).finally(() => lease.leave());
    };
  }, 0);
}

/**
 * Waits for Redis. A bot that stands by refuses at its start what one that leads would refuse; startBot asks again, since
 * Redis may have changed until it leads.
 */
async function assertUsable(address: RedisAddress, log: Logger): Promise<void> {
  const redis = connectRedis(address, 'patient', (error) => log.warn({ err: error.message }, 'redis'));
  try {
    const forgets = await assertTrustworthy(redis);
    if (forgets !== undefined) log.warn(forgets);
    await claimSchema(redis, new Keys(), log);
  } finally {
    redis.disconnect();
  }
}

/** Waits until this bot leads; false where it is asked to end before. */
async function leads(lease: Lease, { web }: Config, signal: AbortSignal): Promise<boolean> {
  let close: (() => Promise<void>) | undefined;
  const onStandingBy = async (): Promise<void> => {
    if (!web.port) return;
    const { startStandbyServer } = await import('../web/standby.ts');
    close = await startStandbyServer(web.host, web.port);
  };
  // Anything gentler would let what is under way go on beside what the next leader does.
  const hasBegun = await lease.lead(signal, onStandingBy, () => process.exit(lostExitCode));
  await close?.();
  return hasBegun;
}
