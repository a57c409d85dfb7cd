/** What people ask about themselves: credits and jobs, the queue, what is stored, and its deletion. Knows no platform. */
import type { Logger } from '../log.ts';
import type { JobClient } from '../queue/client.ts';
import type { JobState } from '../queue/jobs.ts';
import type { QueueMode } from '../queue/mode.ts';
import type { Quota } from '../queue/quota.ts';
import type { QueuePosition } from '../queue/time-left.ts';
import type { AdminTools } from './admin/run-command.ts';
import type { Person, Place } from './people.ts';
import { failedOrUnavailable, type Refused } from './refusals.ts';
import { type ForgetTools, forgetUser } from './upkeep/forget.ts';

export interface ListedJob {
  readonly id: string;
  readonly state: JobState;
  readonly prompt: string;
  /** Others are not to see its prompt. */
  readonly isPrivate: boolean;
}

export interface AccountView {
  readonly kind: 'account';
  readonly userKey: string;
  readonly quota: Pick<Quota, 'used' | 'limit' | 'granted'>;
  /** Jobs without a delivered answer, oldest first. */
  readonly jobs: readonly ListedJob[];
}

export interface QueueView {
  readonly kind: 'queue';
  readonly mode: QueueMode;
  readonly waiting: number;
  readonly running: number;
  /** Places of the person's own jobs. */
  readonly own: readonly QueuePosition[];
}

export interface Deleted {
  readonly kind: 'deleted';
  readonly jobs: number;
  /** Jobs that could not be ended at once. */
  readonly unfinished: number;
}

/** The most jobs of one person that /queue names. */
const listedPlaces = 10;

export class Account {
  readonly #admin: Pick<AdminTools, 'quotas' | 'stats'>;
  readonly #client: JobClient;
  readonly #forget: ForgetTools;
  readonly #log: Logger;
  /** How long jobs are kept. */
  readonly retentionDays: number;

  constructor(admin: Pick<AdminTools, 'quotas' | 'stats'>, forget: ForgetTools, retentionDays: number) {
    this.#admin = admin;
    this.#client = forget.client;
    this.#forget = forget;
    this.#log = forget.log;
    this.retentionDays = retentionDays;
  }

  async me(person: Person, place: Place): Promise<AccountView | Refused> {
    try {
      const quota = await this.#admin.quotas.quotaOf(person.userKey, {
        roles: person.roleKeys,
        ...(place.communityKey ? { community: place.communityKey } : {}),
      });
      const pending = await this.#client.ledger.pendingOf(person.userKey);
      const jobs = pending.map(({ id, state, request }) => ({
        id,
        state,
        prompt: request.generation.prompt,
        isPrivate: request.isPrivate,
      }));
      return { kind: 'account', userKey: person.userKey, quota, jobs };
    } catch (error) {
      return failedOrUnavailable(error, this.#log);
    }
  }

  async queue(person: Person): Promise<QueueView | Refused> {
    try {
      const { mode, waiting, running } = await this.#admin.stats();
      const own: QueuePosition[] = [];
      for (const entry of (await this.#client.ledger.pendingOf(person.userKey)).slice(0, listedPlaces)) {
        const position = await this.#client.timeLeft.position(entry);
        if (position) own.push(position);
      }
      const all = [...waiting.values()].reduce((sum, count) => sum + count, 0);
      return { kind: 'queue', mode, waiting: all, running, own };
    } catch (error) {
      return failedOrUnavailable(error, this.#log);
    }
  }

  /** "Delete everything", after the person has confirmed it. */
  async forget(person: Person): Promise<Deleted | Refused> {
    try {
      const { jobs, unfinished } = await forgetUser(person.userKey, this.#forget);
      return { kind: 'deleted', jobs, unfinished: unfinished.length };
    } catch (error) {
      return failedOrUnavailable(error, this.#log);
    }
  }
}
