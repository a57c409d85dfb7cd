/** Pausing, draining and resuming the whole queue. */
import { Queue } from 'bullmq';
import { z } from 'zod';
import type { Logger } from '../log.ts';
import type { AuditAction, AuditTrail } from './audit.ts';
import { independentOfRedis } from './client.ts';
import { generateQueues } from './models.ts';

/**
 * running: everything goes on. paused: no requests are accepted and no job is started; a running one finishes.
 * draining: no requests are accepted; the waiting jobs are still made.
 */
export type QueueMode = 'running' | 'paused' | 'draining';

/** As it is stored: nothing while everything goes on; so does what another version wrote. */
export const storedModeSchema = z
  .enum(['paused', 'draining'])
  .nullable()
  .catch(null)
  .transform((mode): QueueMode => mode ?? 'running');

/** The changing methods take the userKey of the admin first and resolve to whether anything changed. */
export class ModeSwitch {
  readonly #trail: AuditTrail;
  readonly #log: Logger;
  readonly #opened = new Map<string, Queue>();

  constructor(trail: AuditTrail, log: Logger) {
    this.#trail = trail;
    this.#log = log;
  }

  #open(name: string): Queue {
    const { redis, keys } = this.#trail;
    const queue = new Queue(name, { connection: redis, prefix: keys.bull, ...independentOfRedis });
    queue.on('error', (error) => this.#log.warn({ err: error.message }, 'admin connection'));
    return queue;
  }

  /** The queues of all models, also of those that no worker has now. */
  async #queues(): Promise<Queue[]> {
    const names = await generateQueues(this.#trail.redis, this.#trail.keys);
    for (const name of names) {
      if (!this.#opened.has(name)) this.#opened.set(name, this.#open(name));
    }
    return [...this.#opened.values()];
  }

  async pause(by: string, reason = ''): Promise<boolean> {
    return await this.#set(by, 'pause', 'paused', reason);
  }

  async resume(by: string, reason = ''): Promise<boolean> {
    return await this.#set(by, 'resume', '', reason);
  }

  async drain(by: string, reason = ''): Promise<boolean> {
    return await this.#set(by, 'drain', 'draining', reason);
  }

  async #set(
    by: string,
    action: AuditAction,
    value: 'paused' | 'draining' | '',
    reason: string,
  ): Promise<boolean> {
    const change = { change: 'replace', key: this.#trail.keys.mode, value } as const;
    const { changed } = await this.#trail.act({ by, action, target: 'queue', ...change, reason });
    await this.enforce();
    return changed;
  }

  async current(): Promise<QueueMode> {
    return storedModeSchema.parse(await this.#trail.redis.get(this.#trail.keys.mode));
  }

  /**
   * Makes the workers follow the mode. Also called at the start: a process that set the mode may have died before it
   * told the workers.
   */
  async enforce(): Promise<void> {
    for (;;) {
      const mode = await this.current();
      const queues = await this.#queues();
      await Promise.all(queues.map((queue) => (mode === 'paused' ? queue.pause() : queue.resume())));
      // Another admin may have changed the mode in between: the last one to tell the workers checks it again.
      if ((await this.current()) === mode) return;
    }
  }

  async close(): Promise<void> {
    // A dead Redis must not delay the stop.
    await Promise.allSettled([...this.#opened.values()].map((queue) => queue.close()));
  }
}
