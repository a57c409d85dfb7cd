/**
 * What a chat platform gives to the bot and gets from it. Each adapter translates in and out and nothing else: limits,
 * quotas, fairness and retries are the queue's.
 */
import type { Artifacts } from '../queue/artifacts.ts';
import type { JobClient } from '../queue/client.ts';
import type { Redis } from '../queue/redis.ts';
import type { Account } from './account.ts';
import type { Administration } from './admin/administration.ts';
import type { JobButtons } from './buttons.ts';
import type { Models } from './models.ts';
import type { Requests } from './requests.ts';
import type { StudioLinks } from './studio-links.ts';
import type { Deliver } from './upkeep/delivery.ts';

/** What the adapters call: the same on every platform. */
export interface Services {
  /** A fail-fast connection. */
  readonly redis: Redis;
  readonly client: JobClient;
  readonly artifacts: Artifacts;
  readonly models: Models;
  readonly requests: Requests;
  readonly buttons: JobButtons;
  readonly account: Account;
  readonly administration: Administration;
  readonly studio: StudioLinks;
  /** Whether a user of any of the platforms is an admin of Kinora there, now. */
  readonly isAdmin: (userKey: string) => Promise<boolean>;
}

export interface ChatPlatform {
  /** First part of its user keys: "discord" in "discord:8035". */
  readonly name: string;
  /** Begins what each of several bots does, also one that does not lead; absent where the leader does everything. */
  serve?(services: Services): Promise<void>;
  /** Of the parts that several bots may share, those that this bot hears now; absent where there are none. */
  readonly servedShards?: readonly number[];
  /** Begins what the bot that leads does. Resolves when people can send requests. */
  start(services: Services): Promise<void>;
  /**
   * Resolves when the bot that took the request of a job, this one or another, has said all that it says of it; absent where
   * the leader takes all.
   */
  settle?(jobId: string): Promise<void>;
  /** Posts the final answer of one of its jobs, by the platform's most repeatable call. */
  readonly deliver: Deliver;
  /** Whether one of its users is an admin of Kinora, now; absent where nobody can be. */
  isAdmin?(userKey: string): Promise<boolean>;
  /** Takes no more requests. */
  stop(): Promise<void>;
}
