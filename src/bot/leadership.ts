/** What one bot of several does alone: it delivers answers, repairs what crashes left behind, and tidies up. */
import { withDeadline } from '../deadline.ts';
import type { Logger } from '../log.ts';
import type { JobClient } from '../queue/client.ts';
import { surfaceOf } from '../queue/jobs.ts';
import type { Redis } from '../queue/redis.ts';
import type { AdminTools } from './admin/run-command.ts';
import type { BotMetrics } from './metrics.ts';
import type { ChatPlatform } from './platform.ts';
import { type Deliver, DeliveryDelayed, DeliveryImpossible, DeliveryWorker } from './upkeep/delivery.ts';
import { type ForgetTools, finishForgetting } from './upkeep/forget.ts';
import { Housekeeper, type HousekeepingSettings } from './upkeep/housekeeping.ts';
import { Periodic } from './upkeep/periodic.ts';
import { Reconciler } from './upkeep/reconcile.ts';

/** How often deletions and a pause that could not take full effect are tried again. */
const upkeepEveryMs = 5 * 60_000;
const notLeadingMs = 1_000;
/** Of the start, on a storage that may be away. */
const withdrawWithinMs = 2_000;

export interface LeadershipOptions {
  readonly jobFiles: Pick<HousekeepingSettings, 'retentionMs' | 'budgetBytes'>;
  /** A job that waits longer is given up. */
  readonly expireAfterMs: number;
  readonly platforms: readonly ChatPlatform[];
  /** Lease.mayAct: where several bots may run, whether this one still leads. */
  readonly mayAct?: () => Promise<boolean>;
  /** Called with decisions and deliveries; absent where no metrics are served. */
  readonly metrics?: BotMetrics;
  readonly log: Logger;
}

export interface LeadershipTools {
  /** A connection that waits for a Redis that is away. */
  readonly patient: Redis;
  readonly admin: AdminTools;
  readonly forget: ForgetTools;
}

export class Leadership {
  readonly #client: JobClient;
  readonly #delivery: DeliveryWorker;
  readonly #reconciler: Reconciler;
  readonly #housekeeper: Housekeeper;
  readonly #upkeep: Periodic;

  constructor(
    { jobFiles, expireAfterMs, platforms, mayAct, metrics, log }: LeadershipOptions,
    { patient, admin, forget }: LeadershipTools,
  ) {
    const { redis, client, artifacts } = forget;
    this.#client = client;
    // Files and ledger forget a delivered job at the same time.
    const retentionSeconds = Math.round(jobFiles.retentionMs / 1000);
    const deliver = deliverBy(platforms, mayAct);
    this.#delivery = new DeliveryWorker(patient, artifacts, metrics?.measured(deliver) ?? deliver, log, {
      retentionSeconds,
      wasDenied: async (callId, { id, request }) => {
        await platforms.find(({ name }) => name === surfaceOf(request))?.settle?.(id);
        return await client.wasDenied({ jobId: id, callId });
      },
    });
    this.#reconciler = new Reconciler(redis, client, artifacts, log, { expireAfterMs, retentionSeconds });
    this.#housekeeper = new Housekeeper(redis, client.keys, artifacts, log, jobFiles);
    this.#upkeep = new Periodic(
      async () => {
        await admin.mode.enforce();
        await client.withdrawLeft();
        await finishForgetting(forget);
      },
      upkeepEveryMs,
      (error) => log.warn({ err: String(error) }, 'upkeep failed; it is tried again'),
    );
  }

  async start(): Promise<void> {
    // Before anything is shown; upkeep does what is not done by then, and none of it is delivered meanwhile.
    await withDeadline(withdrawWithinMs, this.#client.withdrawLeft(), () => {}).catch(() => {});
    await this.#delivery.start();
    this.#reconciler.start();
    this.#housekeeper.start();
    this.#upkeep.start();
  }

  /** Finishes the posts under way. */
  async stop(): Promise<void> {
    const all = [this.#delivery, this.#reconciler, this.#housekeeper, this.#upkeep];
    await Promise.all(all.map((each) => each.stop()));
  }
}

/** Each job goes to the platform where it was asked for. */
function deliverBy(platforms: readonly ChatPlatform[], mayAct: LeadershipOptions['mayAct']): Deliver {
  const byName = new Map(platforms.map((platform) => [platform.name, platform]));
  return async (entry, answer, signal) => {
    if ((await mayAct?.()) === false) throw new DeliveryDelayed('another bot leads', notLeadingMs);
    const name = surfaceOf(entry.request);
    const platform = byName.get(name);
    if (!platform) throw new DeliveryImpossible(`the platform ${name} is not switched on`);
    await platform.deliver(entry, answer, signal);
  };
}
