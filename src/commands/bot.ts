/** `kinora bot`: the bot process alone. */
import { startBot } from '../bot/main.ts';
import { BotMetrics } from '../bot/metrics.ts';
import { Models } from '../bot/models.ts';
import type { Config } from '../config.ts';
import { createLogger } from '../log.ts';
import { startMetricsServer } from '../metrics/server.ts';
import { shareLog } from '../queue/live-log.ts';
import { queueTerms } from '../queue/terms.ts';
import { findFfmpeg } from '../video/ffmpeg-path.ts';
import { assertSomeChat, platformsOf } from './chats.ts';
import { choosePack } from './packs.ts';
import { metricsProbe, prepareDataFolder, serve, sharedRedis } from './process.ts';
import { openStorage } from './storage.ts';

/** Serves until it is asked to end. */
export async function runBot(config: Config): Promise<void> {
  const log = createLogger('bot', config.logLevel);
  assertSomeChat(config);
  const address = sharedRedis(config);
  shareLog(address);
  await serve(async () => {
    await prepareDataFolder(config);
    const { metricsPorts } = config;
    const metrics = metricsPorts && new BotMetrics(metricsProbe(address));
    if (metrics) await startMetricsServer(metricsPorts.bot, metrics, config.metricsHost);
    const { path: ffmpegPath } = await findFfmpeg({ ffmpegPath: config.ffmpegPath });
    // On a machine without workers there may be no packs.
    const own = await Promise.all(
      config.models.map((name) => choosePack(config, name).catch(() => undefined)),
    );
    const models = new Models(own.flatMap((pack) => (pack ? [pack.manifest] : [])));
    const bot = await startBot({
      address,
      storage: await openStorage(config),
      cacheFolder: config.cacheFolder,
      jobFiles: config.jobFiles,
      expireAfterMs: config.queue.expireAfterMs,
      terms: queueTerms(
        config.queue,
        (id) => models.of(id),
        (id) => models.factorOf(id),
      ),
      platforms: await platformsOf(config, address, log),
      models,
      ffmpegPath,
      publicUrl: config.web.port ? config.web.publicUrl : undefined,
      log,
      ...(metrics ? { metrics } : {}),
    });
    return () => bot.stop();
  }, 0);
}
