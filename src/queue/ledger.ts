/**
 * The ledger: everything about jobs, credits and places in the queue that must be decided in one step or survive
 * BullMQ's own clean-up. A thin, typed face of the Lua scripts beside it. Knows no platform and never talks to BullMQ.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { assertKnown, contract, firstContract, skipNewer } from './contract.ts';
import { placesOfJob, runJobScript } from './job-scripts.ts';
import {
  type Artifact,
  artifactSchema,
  type Failure,
  failureSchema,
  type JobRequest,
  jobRequestSchema,
  jobStates,
  type Outcome,
  storedRequestSchema,
} from './jobs.ts';
import { Keys } from './keys.ts';
import { type JobKind, kindName, readKind } from './models.ts';
import type { Redis } from './redis.ts';
import { runScript } from './scripts.ts';
import { isForeign } from './stored-json.ts';

export interface AdmissionLimits {
  /** Jobs that wait or run, over everybody, per person and per community. */
  readonly queue: number;
  readonly user: number;
  readonly community: number;
  /** Credits per person and day, where no override says otherwise. */
  readonly credits: number;
}

const refusalSchema = z.discriminatedUnion('decision', [
  z.object({ decision: z.literal('banned'), untilMs: z.number(), reason: z.string(), owner: z.string() }),
  z.object({ decision: z.literal('paused') }),
  z.object({ decision: z.literal('draining') }),
  z.object({ decision: z.literal('queue-full'), limit: z.number() }),
  z.object({ decision: z.literal('user-full'), limit: z.number() }),
  z.object({ decision: z.literal('community-full'), limit: z.number() }),
  z.object({ decision: z.literal('cooldown'), waitMs: z.number() }),
  z.object({
    decision: z.literal('quota'),
    limit: z.number(),
    used: z.number(),
    granted: z.number(),
    cost: z.number(),
  }),
]);
export type Refusal = z.infer<typeof refusalSchema>;

const admissionSchema = z.union([
  z.object({
    decision: z.literal('accepted'),
    priority: z.int(),
    /** Credits left today, and granted extra. */
    left: z.number(),
    granted: z.number(),
  }),
  z.object({ decision: z.literal('duplicate'), state: z.enum(jobStates), priority: z.int() }),
  refusalSchema,
]);
export type Admission = z.infer<typeof admissionSchema>;

const transitionSchema = z.object({
  changed: z.boolean(),
  state: z.union([z.enum(jobStates), z.literal('')]),
  starts: z.int(),
});
export type Transition = z.infer<typeof transitionSchema>;

export type JobEvent =
  | 'confirm'
  | 'start'
  | 'handback'
  | 'generated'
  | 'deliver'
  | 'undeliver'
  | 'failed'
  | 'cancelled'
  | 'expired';
export type CancelAnswer = 'unknown' | 'forbidden' | 'finished' | 'cancelled' | 'requested';

/** One job. Fields of states that it has not reached are absent. */
export interface LedgerEntry {
  readonly id: string;
  readonly request: z.output<typeof jobRequestSchema>;
  /** As its request says it; the first one where it is absent. */
  readonly contract?: number;
  readonly state: (typeof jobStates)[number];
  readonly preset: string;
  /** Absent in jobs that were made before there were several, or while none was known. */
  readonly model?: string;
  readonly cost: number;
  readonly priority: number;
  readonly createdAt: number;
  readonly starts: number;
  readonly startedAt?: number;
  readonly endedAt?: number;
  readonly worker?: string;
  readonly cancelRequestedBy?: string;
  /** The user was told that the request was not accepted: the job gets no answer. */
  readonly isWithdrawn?: true;
  /** Its person deleted it: it is shown nowhere, and removed when it has been answered. */
  readonly isDiscarded?: true;
  readonly isFavourite?: true;
  readonly deliveredAt?: number;
  readonly artifact?: Artifact;
  readonly failure?: Failure;
}

/** What says where a job waits. */
export interface WaitingJob extends JobKind {
  readonly id: string;
  /** The first one where it is absent. */
  readonly contract?: number | undefined;
}

/** The latest jobs of one user, and of all, among which pending ones are searched. */
const pendingOfUser = 200;
const pendingOfAll = 5_000;
const readAtOnce = 100;
/** How often a later job may be preferred to one, since its model is loaded. */
export const mostPassedOver = 3;

export class Ledger {
  readonly #redis: Redis;
  readonly keys: Keys;

  constructor(redis: Redis, keys = new Keys()) {
    this.#redis = redis;
    this.keys = keys;
  }

  /**
   * Accepts or refuses a request and reserves its place and credits, in one step.
   * @param cost credits of the job's preset; also its length for the fair order
   * @param callId tells this call from others for the same job, so that withdraw() undoes only its own
   * @param day calendar day whose allowance is used, for example "2026-11-21"
   * @param isLook only asks what the answer would be; nothing is reserved
   * @param isRestored it was accepted before, and Redis has lost it: it is not judged again
   */
  async admit(
    request: JobRequest,
    terms: {
      callId?: string;
      cost: number;
      day: string;
      cooldownMs: number;
      limits: AdmissionLimits;
      /** Redis's own time where it is left out. */
      now?: number;
      isLook?: true;
      isRestored?: true;
    },
  ): Promise<Admission> {
    const parsed = jobRequestSchema.parse(request);
    const { id, userKey: user, communityKey: community } = parsed;
    const kind = kindName({ preset: parsed.generation.preset, model: parsed.model });
    const callId = terms.callId ?? randomUUID();
    const own = {
      ...placesOfJob(this.keys, id, { user, community: community ?? '', kind, day: terms.day }),
      cooldown: this.keys.cooldown(user),
      history: this.keys.history(user),
      withdrawn: this.keys.withdrawn(callId),
    };
    const text = JSON.stringify({
      ...{ ...terms, callId, id, user, kind },
      ...(community ? { community } : {}),
      roles: parsed.roleKeys,
      preset: parsed.generation.preset,
      contract: parsed.contract,
      ...(parsed.madeFrom ? { madeFrom: parsed.madeFrom.jobId } : {}),
      data: JSON.stringify(parsed),
    });
    const answer = await runScript(this.#redis, 'admit', this.keys, own, [text]);
    return admissionSchema.parse(JSON.parse(String(answer)));
  }

  /**
   * Moves a job along. `changed` is false when the event does not fit its present state, or it is unknown.
   * @param now Redis's own time where it is left out, here and below
   */
  async transition(
    jobId: string,
    event: JobEvent,
    now?: number,
    fields: Record<string, string> = {},
  ): Promise<Transition> {
    const isAlone = event === 'confirm' || event === 'deliver' || event === 'undeliver';
    const args = [jobId, event, now ?? '', JSON.stringify(fields)] as const;
    const answer = await runJobScript(this.#redis, 'transition', this.keys, args, { isAlone });
    return transitionSchema.parse(JSON.parse(String(answer)));
  }

  /** Ends the accounting once the answer has arrived or never will. True when this call ended it. */
  async settle(
    jobId: string,
    outcome: Outcome,
    now: number | undefined,
    retentionSeconds: number,
  ): Promise<boolean> {
    const args = [jobId, now ?? '', outcome, retentionSeconds] as const;
    return (await runJobScript(this.#redis, 'settle', this.keys, args)) === 1;
  }

  /** Undoes the admission by a call, also one that Redis has yet to execute. True when there was something to undo. */
  async withdraw(
    jobId: string,
    callId: string,
    now: number | undefined,
    retentionSeconds: number,
  ): Promise<boolean> {
    const args = [jobId, callId, now ?? '', retentionSeconds] as const;
    return (await runJobScript(this.#redis, 'withdraw', this.keys, args, { callId })) === 1;
  }

  /**
   * From which of these models' jobs a worker that has them takes the next one: by the fair order, and a little by what
   * is loaded; see turn.lua.
   * @param worker its id: the turn is its own until it starts a job
   * @param models those whose jobs can be taken now, undefined for jobs without one
   * @param loaded those of them that are ready
   * @returns undefined also when none of them has a waiting job
   */
  async turnOf(
    worker: string,
    models: readonly (string | undefined)[],
    loaded: ReadonlySet<string | undefined>,
  ): Promise<string | undefined> {
    const ready = models.filter((model) => loaded.has(model));
    const names = (some: readonly (string | undefined)[]) => some.map((model) => model ?? '');
    const ask = JSON.stringify({
      ...{ worker, models: names(models), loaded: names(ready) },
      ...{ most: mostPassedOver, reads: contract },
    });
    return models[z.int().parse(await runScript(this.#redis, 'turn', this.keys, {}, [ask])) - 1];
  }

  /** @param isDiscarded whatever its state is, its person wants it gone */
  async cancel(
    jobId: string,
    by: string,
    asAdmin: boolean,
    now?: number,
    isDiscarded = false,
  ): Promise<CancelAnswer> {
    const args = [jobId, by, asAdmin ? 1 : 0, now ?? '', isDiscarded ? 1 : 0] as const;
    return (await runJobScript(this.#redis, 'cancel', this.keys, args)) as CancelAnswer;
  }

  /** Marks a job as a favourite, or takes the mark back. False when the person has no such job. */
  async setFavourite(jobId: string, userKey: string, isFavourite: boolean, now: number): Promise<boolean> {
    const args = [userKey, now, isFavourite ? 1 : 0] as const;
    return (await runScript(this.#redis, 'favourite', this.keys, { job: this.keys.job(jobId) }, args)) === 1;
  }

  /** Forgets a job that is over. */
  async remove(jobId: string, userKey: string): Promise<void> {
    const { keys } = this;
    const batch = this.#redis.multi().del(keys.job(jobId), keys.progress(jobId));
    await batch.zrem(keys.pending, jobId).zrem(keys.history(userKey), jobId).exec();
  }

  /**
   * Moves virtual time back towards zero when every job that is not over lies at least `atLeast` beyond it; their
   * order stays the same. BullMQ's priorities have to follow.
   * @returns by how much, 0 when nothing was changed
   */
  async rebase(atLeast: number): Promise<number> {
    const own = { activeAll: this.keys.active('all') };
    return z.int().parse(await runScript(this.#redis, 'rebase', this.keys, own, [atLeast]));
  }

  /**
   * Says that somebody looks after the jobs now.
   * @param pauseMs longest time between two such looks
   * @returns ms in which nobody did, in all; a job's `asleep` is what they were when it was admitted
   */
  async awake(now: number, pauseMs: number): Promise<number> {
    return z.int().parse(await runScript(this.#redis, 'awake', this.keys, {}, [now, pauseMs]));
  }

  /**
   * Drops members whose job is over, or no longer waits, from a set of active or waiting jobs.
   * @param set a key made by Keys.active or Keys.waiting
   * @returns how many were dropped
   */
  async repair(set: string): Promise<number> {
    return z.int().parse(await runScript(this.#redis, 'repair', this.keys, { set }, []));
  }

  /** @throws NewerRecord */
  async read(jobId: string): Promise<LedgerEntry | undefined> {
    const fields = await this.#redis.hgetall(this.keys.job(jobId));
    return fields['state'] ? parseEntry(jobId, fields) : undefined;
  }

  /** A person's jobs that still wait, run, or have their answer on its way; oldest first. */
  async pendingOf(userKey: string): Promise<LedgerEntry[]> {
    const newestFirst = await this.#redis.zrevrange(this.keys.history(userKey), 0, pendingOfUser - 1);
    const entries = await this.readAll(newestFirst.reverse());
    const isOver = ({ state, deliveredAt }: LedgerEntry): boolean =>
      deliveredAt !== undefined || state === 'failed' || state === 'cancelled';
    return entries.filter((entry) => !isOver(entry));
  }

  /** All jobs without a delivered answer, oldest first; the latest `pendingOfAll` of them. */
  async pending(): Promise<LedgerEntry[]> {
    const newestFirst = await this.#redis.zrevrange(this.keys.pending, 0, pendingOfAll - 1);
    return await this.readAll(newestFirst.reverse());
  }

  /** The jobs that wait, in the order in which they will be served, and how many there are. */
  async waiting(
    limit: number,
  ): Promise<{ readonly entries: readonly LedgerEntry[]; readonly count: number }> {
    const kinds = await this.#redis.smembers(this.keys.presets);
    const looks = kinds.map(async (kind) => {
      const key = this.keys.waiting(kind);
      const first = await this.#redis.zrange(key, 0, String(limit - 1), 'WITHSCORES');
      return { first, count: await this.#redis.zcard(key) };
    });
    const found = await Promise.all(looks);
    const scored = found.flatMap(({ first }) => pairsOf(first)).sort(([, a], [, b]) => a - b);
    const ids = scored.slice(0, limit).map(([id]) => id);
    return { entries: await this.readAll(ids), count: found.reduce((sum, { count }) => sum + count, 0) };
  }

  /** The one that is served last, as it looks now; undefined where none waits. */
  async lastWaiting(): Promise<WaitingJob | undefined> {
    const kinds = await this.#redis.smembers(this.keys.presets);
    const looks = kinds.map(async (kind) => {
      const [id, score] = await this.#redis.zrevrange(this.keys.waiting(kind), 0, 0, 'WITHSCORES');
      return id === undefined ? [] : [{ id, ...readKind(kind), score: Number(score) }];
    });
    return (await Promise.all(looks)).flat().sort((a, b) => b.score - a.score)[0];
  }

  /** Leaves out entries that are gone, or of a version that this one cannot read. Throws where Redis does not answer. */
  async readAll(jobIds: readonly string[]): Promise<LedgerEntry[]> {
    const entries: LedgerEntry[] = [];
    for (let at = 0; at < jobIds.length; at += readAtOnce) {
      const batch = jobIds.slice(at, at + readAtOnce).map((id) => this.read(id).catch(skipUnreadable));
      entries.push(...(await Promise.all(batch)).filter((entry) => entry !== undefined));
    }
    return entries;
  }

  /**
   * Jobs ahead of a waiting job, by the names of their kinds.
   * @returns undefined when the job does not wait
   */
  async ahead(job: WaitingJob): Promise<ReadonlyMap<string, number> | undefined> {
    const score = await this.#redis.zscore(this.keys.waiting(kindName(job)), job.id);
    return score === null ? undefined : await this.#aheadOf(score);
  }

  /** Jobs that would be ahead of a user's next one, by the names of their kinds: by the virtual start that admit.lua would give it. */
  async aheadOfNext(userKey: string): Promise<ReadonlyMap<string, number>> {
    const [vtime, finish] = await Promise.all([
      this.#redis.get(this.keys.vtime),
      this.#redis.hget(this.keys.vfinish, userKey),
    ]);
    const tag = Math.max(Number(vtime ?? 0), Number(finish ?? 0));
    return await this.#aheadOf(String((tag + 1) * 2 ** 32));
  }

  async #aheadOf(score: string): Promise<ReadonlyMap<string, number>> {
    const kinds = await this.#redis.smembers(this.keys.presets);
    const counts = await Promise.all(
      kinds.map((kind) => this.#redis.zcount(this.keys.waiting(kind), '-inf', `(${score}`)),
    );
    return new Map(kinds.map((kind, index) => [kind, counts[index] ?? 0]));
  }
}

/** An entry that Redis does not give is not one that is gone. */
function skipUnreadable(error: unknown): undefined {
  if (!isForeign(error)) skipNewer(error);
}

/** Members and scores as Redis lists them. */
function pairsOf(flat: readonly string[]): [member: string, score: number][] {
  return flat.flatMap((member, index) => (index % 2 === 0 ? [[member, Number(flat[index + 1])]] : []));
}

function parseEntry(id: string, fields: Record<string, string>): LedgerEntry {
  const number = (name: string): number => Number(fields[name]);
  const optional = <K extends string, V>(name: K, parse: (text: string) => V): { [key in K]?: V } => {
    const text = fields[name];
    return text === undefined ? {} : ({ [name]: parse(text) } as { [key in K]?: V });
  };
  // Before the parts of it, which a later contract may write in another way.
  assertKnown({ contract: Number(fields['contract'] ?? firstContract) });
  const stored = <T>(text: string, schema: z.ZodType<T>): T => {
    const record: unknown = JSON.parse(text);
    assertKnown(record);
    return schema.parse(record);
  };
  const request = stored(fields['request'] ?? '', storedRequestSchema);
  return {
    id,
    request,
    contract: request.contract,
    ...(request.model === undefined ? {} : { model: request.model }),
    state: z.enum(jobStates).parse(fields['state']),
    preset: fields['preset'] ?? '',
    cost: number('cost'),
    priority: number('tag') + 1,
    createdAt: number('createdAt'),
    starts: number('starts'),
    ...(fields['silent'] === undefined ? {} : { isWithdrawn: true }),
    ...(fields['discardedAt'] === undefined ? {} : { isDiscarded: true }),
    ...(fields['favourite'] === undefined ? {} : { isFavourite: true }),
    ...optional('startedAt', Number),
    ...optional('endedAt', Number),
    ...optional('worker', String),
    ...optional('cancelRequestedBy', String),
    ...optional('deliveredAt', Number),
    ...optional('artifact', (text) => stored(text, artifactSchema)),
    ...optional('failure', (text) => stored(text, failureSchema)),
  };
}
