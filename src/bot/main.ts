/**
 * The bot process: chat platforms on one side, the queue on the other. Knows no platform by name.
 */
import { withDeadline } from '../deadline.ts';
import type { Logger } from '../log.ts';
import { Artifacts } from '../queue/artifacts.ts';
import { JobClient, type QueueTerms } from '../queue/client.ts';
import { RuleStore } from '../queue/community-rules.ts';
import { surfaceOf } from '../queue/jobs.ts';
import { Keys } from '../queue/keys.ts';
import { assertTrustworthy, connectRedis, type Redis, type RedisAddress } from '../queue/redis.ts';
import { claimSchema } from '../queue/schema.ts';
import { SignInLinks } from '../queue/sign-in-links.ts';
import type { Storage } from '../storage/storage.ts';
import { Account } from './account.ts';
import { Administration } from './admin/administration.ts';
import { RuleBook } from './admin/rules.ts';
import { type AdminTools, adminTools } from './admin/run-command.ts';
import { JobButtons } from './buttons.ts';
import type { BotMetrics } from './metrics.ts';
import type { Models } from './models.ts';
import type { ChatPlatform, Services } from './platform.ts';
import { Requests } from './requests.ts';
import { StudioLinks } from './studio-links.ts';
import { type Deliver, DeliveryDelayed, DeliveryImpossible, DeliveryWorker } from './upkeep/delivery.ts';
import { type ForgetTools, finishForgetting } from './upkeep/forget.ts';
import { Housekeeper, type HousekeepingSettings } from './upkeep/housekeeping.ts';
import { Periodic } from './upkeep/periodic.ts';
import { Reconciler } from './upkeep/reconcile.ts';

export interface RunningBot {
  /** Takes no more requests, finishes the posts under way, and leaves the rest to the next start. */
  stop(): Promise<void>;
}

export interface BotOptions {
  readonly address: RedisAddress;
  /** Of the jobs' files, shared with the workers. */
  readonly storage: Storage;
  readonly terms: QueueTerms;
  readonly jobFiles: Pick<HousekeepingSettings, 'retentionMs' | 'budgetBytes'> & {
    /** With less free, new requests are refused. */
    readonly minFreeBytes: number;
  };
  /** A job that waits longer is given up. */
  readonly expireAfterMs: number;
  readonly platforms: readonly ChatPlatform[];
  readonly log: Logger;
  /** Those that can be asked for: requests are refused by their limits at once. */
  readonly models: Models;
  /** Disk tier of the latent cache, from which "delete my data" removes. */
  readonly cacheFolder: string;
  readonly ffmpegPath: string;
  /** Under which people reach the studio page; absent where nobody has said. */
  readonly publicUrl?: string | undefined;
  /** Removes what chats keep of a person in Redis until it is handled; absent where no chat does. */
  readonly forgetUpdates?: (redis: Redis, keys: Keys, userKey: string, wishedAt: number) => Promise<void>;
  /** Lease.mayAct: where several bots may run, whether this one still leads. */
  readonly mayAct?: () => Promise<boolean>;
  /** Called with decisions and deliveries; absent where no metrics are served. */
  readonly metrics?: BotMetrics;
}

/** How often deletions and a pause that could not take full effect are tried again. */
const upkeepEveryMs = 5 * 60_000;
const notLeadingMs = 1_000;
/** Of the start, on a storage that may be away. */
const withdrawWithinMs = 2_000;

/** @throws KinoraError INVALID_CONFIG when Redis may not be trusted with jobs */
export async function startBot(options: BotOptions): Promise<RunningBot> {
  const { address, storage, terms, jobFiles, expireAfterMs, platforms, log, metrics } = options;
  const onError = (error: Error): void => log.warn({ err: error.message }, 'redis');
  const failFast = connectRedis(address, 'fail-fast', onError);
  const patient = connectRedis(address, 'patient', onError);
  const forgets = await assertTrustworthy(patient);
  if (forgets !== undefined) log.warn(forgets);
  await claimSchema(patient, new Keys(), log);

  const artifacts = new Artifacts(storage, jobFiles.minFreeBytes);
  const onDecision = metrics ? { onDecision: metrics.onDecision } : {};
  const client = new JobClient(
    failFast,
    {
      ...terms,
      diskFull: () => artifacts.almostFull(),
      onAccepted: (request, at) => artifacts.storeAccepted(request, at),
      withdrawals: artifacts.withdrawals,
      ...onDecision,
    },
    log,
  );
  // Files and ledger forget a delivered job at the same time.
  const retentionSeconds = Math.round(jobFiles.retentionMs / 1000);
  const deliver = deliverBy(platforms, options.mayAct);
  const delivery = new DeliveryWorker(patient, artifacts, metrics?.measured(deliver) ?? deliver, log, {
    retentionSeconds,
    wasDenied: (callId) => client.wasDenied(callId),
  });
  const reconciler = new Reconciler(failFast, client, artifacts, log, { expireAfterMs, retentionSeconds });
  const housekeeper = new Housekeeper(failFast, client.keys, artifacts, log, jobFiles);
  const admin = adminTools(failFast, client, terms, log);
  const forget: ForgetTools = {
    redis: failFast,
    client,
    artifacts,
    cacheFolder: options.cacheFolder,
    day: terms.day,
    forgetUpdates: async (userKey, wishedAt) => {
      await options.forgetUpdates?.(failFast, client.keys, userKey, wishedAt);
    },
    log,
  };
  const upkeep = new Periodic(
    async () => {
      await admin.mode.enforce();
      await finishForgetting(forget);
      await client.withdrawLeft();
    },
    upkeepEveryMs,
    (error) => log.warn({ err: String(error) }, 'upkeep failed; it is tried again'),
  );
  // Before anything is shown or delivered; upkeep does what is not done by then.
  await withDeadline(withdrawWithinMs, client.withdrawLeft(), () => {}).catch(() => {});
  await delivery.start();
  reconciler.start();
  housekeeper.start();
  upkeep.start();
  await options.models.start(failFast, client.keys, log);
  const services = servicesOf(options, admin, forget);
  for (const platform of platforms) {
    await platform.start(services);
    log.info({ platform: platform.name }, 'taking requests');
  }
  return {
    stop: async () => {
      await Promise.all(platforms.map((platform) => platform.stop()));
      await Promise.all([delivery.stop(), reconciler.stop(), housekeeper.stop(), upkeep.stop()]);
      await options.models.stop();
      await admin.mode.close();
      await client.close();
      failFast.disconnect();
      patient.disconnect();
    },
  };
}

function servicesOf(
  { jobFiles, ffmpegPath, models, platforms, publicUrl, log }: BotOptions,
  admin: AdminTools,
  forget: ForgetTools,
): Services {
  const { client, artifacts, day, redis } = forget;
  const rules = new RuleBook(new RuleStore(admin.trail));
  const retentionDays = Math.round(jobFiles.retentionMs / 86_400_000);
  return {
    redis,
    client,
    artifacts,
    models,
    requests: new Requests({ client, artifacts, rules, day, models, log }),
    buttons: new JobButtons(client, artifacts, ffmpegPath),
    account: new Account(admin, forget, retentionDays),
    administration: new Administration(admin, rules, log),
    isAdmin: isAdminOf(platforms),
    studio: new StudioLinks(new SignInLinks(redis, client.keys), publicUrl, log),
  };
}

/** Each platform decides about its own users. */
function isAdminOf(platforms: readonly ChatPlatform[]): Services['isAdmin'] {
  return async (userKey) => {
    const platform = platforms.find(({ name }) => userKey.startsWith(`${name}:`));
    return (await platform?.isAdmin?.(userKey)) ?? false;
  };
}

/** Each job goes to the platform where it was asked for. */
function deliverBy(platforms: readonly ChatPlatform[], mayAct: BotOptions['mayAct']): Deliver {
  const byName = new Map(platforms.map((platform) => [platform.name, platform]));
  return async (entry, answer, signal) => {
    if ((await mayAct?.()) === false) throw new DeliveryDelayed('another bot leads', notLeadingMs);
    const name = surfaceOf(entry.request);
    const platform = byName.get(name);
    if (!platform) throw new DeliveryImpossible(`the platform ${name} is not switched on`);
    await platform.deliver(entry, answer, signal);
  };
}
