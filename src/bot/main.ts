/**
 * The bot process: chat platforms on one side, the queue on the other. Knows no platform by name.
 */
import { mkdir } from 'node:fs/promises';
import type { PackManifest } from '../inference/packs/manifest.ts';
import type { Logger } from '../log.ts';
import { Artifacts } from '../queue/artifacts.ts';
import { AuditTrail } from '../queue/audit.ts';
import { Bans } from '../queue/bans.ts';
import { JobClient, type QueueTerms } from '../queue/client.ts';
import { RuleStore } from '../queue/community-rules.ts';
import { ModeSwitch } from '../queue/mode.ts';
import { Quotas } from '../queue/quota.ts';
import { assertTrustworthy, connectRedis, type RedisAddress } from '../queue/redis.ts';
import { queueStats } from '../queue/stats.ts';
import { Weights } from '../queue/weights.ts';
import { Account } from './account.ts';
import { Administration } from './admin/administration.ts';
import { RuleBook } from './admin/rules.ts';
import { JobButtons } from './buttons.ts';
import type { BotMetrics } from './metrics.ts';
import type { ChatPlatform, Services } from './platform.ts';
import { Requests } from './requests.ts';
import { type Deliver, DeliveryImpossible, DeliveryWorker } from './upkeep/delivery.ts';
import { finishForgetting } from './upkeep/forget.ts';
import { Housekeeper, type HousekeepingSettings } from './upkeep/housekeeping.ts';
import { Periodic } from './upkeep/periodic.ts';
import { Reconciler } from './upkeep/reconcile.ts';

export interface RunningBot {
  /** Takes no more requests, finishes the posts under way, and leaves the rest to the next start. */
  stop(): Promise<void>;
}

export interface BotOptions {
  readonly address: RedisAddress;
  /** Folder of the jobs' files, shared with the workers. */
  readonly jobsFolder: string;
  readonly terms: QueueTerms;
  readonly jobFiles: Pick<HousekeepingSettings, 'retentionMs' | 'budgetBytes'> & {
    /** With less free, new requests are refused. */
    readonly minFreeBytes: number;
  };
  /** A job that waits longer is given up. */
  readonly expireAfterMs: number;
  readonly platforms: readonly ChatPlatform[];
  readonly log: Logger;
  /** Of the pack that the workers run, where it is known: requests are then refused by its limits at once. */
  readonly manifest?: PackManifest;
  /** Disk tier of the latent cache, from which "delete my data" removes. */
  readonly cacheFolder: string;
  readonly ffmpegPath: string;
  /** Told what happens, where somebody wants to know. */
  readonly metrics?: BotMetrics;
}

/** How often what could not be done at once is tried again: wishes to be forgotten, a pause that BullMQ must follow. */
const upkeepEveryMs = 5 * 60_000;

/** @throws KinoraError INVALID_CONFIG when Redis may not be trusted with jobs */
export async function startBot({
  address,
  jobsFolder,
  terms,
  jobFiles,
  expireAfterMs,
  platforms,
  log,
  cacheFolder,
  ffmpegPath,
  manifest,
  metrics,
}: BotOptions): Promise<RunningBot> {
  const onError = (error: Error): void => log.warn({ err: error.message }, 'redis');
  const asking = connectRedis(address, 'fail-fast', onError);
  const delivering = connectRedis(address, 'patient', onError);
  await assertTrustworthy(delivering);
  await mkdir(jobsFolder, { recursive: true, mode: 0o700 });

  const artifacts = new Artifacts(jobsFolder, jobFiles.minFreeBytes);
  const client = new JobClient(
    asking,
    {
      ...terms,
      diskFull: () => artifacts.almostFull(),
      ...(metrics ? { onDecision: metrics.onDecision } : {}),
    },
    log,
  );
  // Files and ledger forget a delivered job at the same time.
  const retentionSeconds = Math.round(jobFiles.retentionMs / 1000);
  const byName = new Map(platforms.map((platform) => [platform.name, platform]));
  const deliver: Deliver = async (entry, answer, signal) => {
    const name = entry.request.userKey.split(':')[0] ?? '';
    const platform = byName.get(name);
    if (!platform) throw new DeliveryImpossible(`the platform ${name} is not switched on`);
    await platform.deliver(entry, answer, signal);
  };
  const delivery = new DeliveryWorker(delivering, artifacts, metrics?.measured(deliver) ?? deliver, log, {
    retentionSeconds,
    wasDenied: (callId) => client.wasDenied(callId),
  });
  const reconciler = new Reconciler(asking, client, artifacts, log, { expireAfterMs, retentionSeconds });
  const housekeeper = new Housekeeper(asking, client.keys, artifacts, log, jobFiles);
  const trail = new AuditTrail(asking, client.keys);
  const mode = new ModeSwitch(trail, log);
  const admin = {
    client,
    trail,
    mode,
    quotas: new Quotas(trail, terms),
    weights: new Weights(trail),
    bans: new Bans(trail),
    stats: () => queueStats(asking, client.keys, terms.day(Date.now())),
  };
  const forget = { redis: asking, client, artifacts, cacheFolder, day: terms.day, log };
  const upkeep = new Periodic(
    async () => {
      await mode.enforce();
      await finishForgetting(forget);
    },
    upkeepEveryMs,
    (error) => log.warn({ err: String(error) }, 'upkeep failed; it is tried again'),
  );
  const retentionDays = Math.round(jobFiles.retentionMs / 86_400_000);
  const rules = new RuleBook(new RuleStore(trail));
  const services: Services = {
    client,
    artifacts,
    requests: new Requests({
      client,
      artifacts,
      rules,
      day: terms.day,
      ...(manifest ? { manifest } : {}),
      log,
    }),
    buttons: new JobButtons(client, artifacts, ffmpegPath),
    account: new Account(admin, forget, retentionDays),
    administration: new Administration(admin, rules, log),
  };
  await delivery.start();
  reconciler.start();
  housekeeper.start();
  upkeep.start();
  for (const platform of platforms) {
    await platform.start(services);
    log.info({ platform: platform.name }, 'taking requests');
  }
  return {
    stop: async () => {
      await Promise.all(platforms.map((platform) => platform.stop()));
      await Promise.all([delivery.stop(), reconciler.stop(), housekeeper.stop(), upkeep.stop()]);
      await mode.close();
      await client.close();
      asking.disconnect();
      delivering.disconnect();
    },
  };
}
