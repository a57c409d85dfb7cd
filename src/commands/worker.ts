/** `kinora worker`: one worker process, with an engine child, for one device. */
import type { Config } from '../config.ts';
import type { EngineStatus } from '../engine/status.ts';
import type { Engine } from '../engine/supervisor.ts';
import { createLogger } from '../log.ts';
import { startMetricsServer } from '../metrics/server.ts';
import { Artifacts } from '../queue/artifacts.ts';
import { recordLoad } from '../queue/durations.ts';
import { Keys } from '../queue/keys.ts';
import { shareLog } from '../queue/live-log.ts';
import { tellOfModels } from '../queue/models.ts';
import { assertTrustworthy, connectRedis } from '../queue/redis.ts';
import { claimSchema } from '../queue/schema.ts';
import { UncachedList } from '../queue/uncached.ts';
import { WorkerBeat } from '../queue/worker-registry.ts';
import { QuietHours } from '../quiet-hours.ts';
import { ForgottenEntries } from '../worker/forgotten-entries.ts';
import { engineGenerate } from '../worker/generate.ts';
import { WorkerMetrics } from '../worker/metrics.ts';
import { TravellingLatents } from '../worker/travelling-latents.ts';
import { Vitals } from '../worker/vitals.ts';
import { JobWorker } from '../worker/worker.ts';
import { startEngine } from './engines.ts';
import { assertShortcuts, choosePacks, deviceCandidates } from './packs.ts';
import { metricsProbe, prepareDataFolder, serve, sharedRedis } from './process.ts';
import { openServedStorage } from './storage.ts';

/** No video is begun, and what was accepted waits, when less is free than this share of what requests must leave free. */
const roomForVideo = 1 / 8;
/** How long the engine may need to stop a job that is given back to the queue. */
const handBackMs = 10_000;
/** In quiet hours an engine without a job gives its memory back. */
const unloadLookMs = 10_000;

/**
 * Serves until it is asked to end. The running job may finish within the grace period; else it goes back to the queue.
 */
export async function runWorker(config: Config): Promise<void> {
  const log = createLogger('worker', config.logLevel);
  const address = sharedRedis(config);
  shareLog(address);
  await serve(async () => {
    await prepareDataFolder(config);
    const redis = connectRedis(address, 'patient', (error) => log.warn({ err: error.message }, 'redis'));
    await assertTrustworthy(redis);
    await claimSchema(redis, new Keys(), log);
    const packs = await choosePacks(config);
    for (const pack of packs) assertShortcuts(config.shortcuts, pack);
    let engineStatus: () => EngineStatus | undefined = () => undefined;
    const firstDevice = deviceCandidates(config.device, packs)[0] ?? 'cpu';
    const vitals = new Vitals({
      device: firstDevice,
      model: packs[0].manifest.id,
      engineStatus: () => engineStatus(),
      cacheFolder: config.cacheFolder,
    });
    const metrics =
      config.metricsPorts &&
      new WorkerMetrics({ probe: metricsProbe(address), vitals, engineStatus: () => engineStatus() });
    // Before the model is loaded, which may take minutes.
    if (metrics) await startMetricsServer(config.metricsPorts.worker, metrics, config.metricsHost);
    const quiet =
      config.quietHours === undefined ? undefined : new QuietHours(config.quietHours, config.queue.timeZone);
    const models = {
      models: packs.map(({ manifest }) => manifest.id),
      loaded: () => engineStatus()?.loaded ?? [],
      quietMs: () => quiet?.restMs() ?? 0,
    };
    const descriptions = packs.map(({ manifest }) => [manifest.id, JSON.stringify(manifest)] as const);
    await tellOfModels(redis, new Keys(), new Map(descriptions));
    const beat = new WorkerBeat(redis, new Keys(), firstDevice, () => vitals.read(), models);
    beat.begin();
    let forgetInMemory: Engine['forget'] = () => {};
    const forgotten = new ForgottenEntries(
      new UncachedList(redis, new Keys()),
      config.cacheFolder,
      (named) => forgetInMemory(named),
      log,
    );
    await forgotten.start();
    const { engine, device, choice, advice } = await startEngine(config, packs, config.device, log);
    if (advice !== undefined) log.warn({ device }, advice);
    forgetInMemory = (named) => engine.forget(named);
    engineStatus = () => engine.status();
    vitals.runsOn(device);
    try {
      await engine.ready();
    } catch (error) {
      forgotten.stop();
      await Promise.all([engine.stop(), beat.stop()]);
      throw error;
    }
    const { loadMs } = engine.status();
    // From the first estimate on, it counts what an idle engine needs to load again.
    if (loadMs !== null) await recordLoad(redis, new Keys(), packs[0].manifest.id, device, loadMs);
    const names = models.models.join(', ');
    process.stderr.write(
      `The model${packs.length > 1 ? 's' : ''} ${names} run${packs.length > 1 ? '' : 's'} on ${choice}.\n`,
    );
    const generate = vitals.measured(engineGenerate(engine, packs, config.metadata, config.shortcuts));
    const storage = await openServedStorage(config, log);
    const artifacts = new Artifacts(storage, config.jobFiles.minFreeBytes * roomForVideo);
    const latents = new TravellingLatents(artifacts, config.cacheFolder, log);
    const worker = new JobWorker(
      redis,
      artifacts,
      latents.before(metrics?.measured(generate) ?? generate),
      log,
      { device, ...models, onMade: (...made) => latents.store(...made), costs: config.queue.costs },
      new Keys(),
      beat,
    );
    const unloading = setInterval(() => {
      if (models.quietMs() > 0) engine.unload();
    }, unloadLookMs);
    await worker.start();
    return async () => {
      clearInterval(unloading);
      forgotten.stop();
      await worker.stop(config.queue.graceMs);
      await engine.stop();
      await latents.settle();
    };
  }, config.queue.graceMs + handBackMs);
}
