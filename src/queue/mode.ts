/** Pausing, draining and resuming the whole queue. */
import { Queue } from 'bullmq';
import { z } from 'zod';
import type { Logger } from '../log.ts';
import type { AuditAction, AuditTrail } from './audit.ts';
import { independentOfRedis } from './client.ts';
import { generateQueueName } from './jobs.ts';

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
  readonly #queue: Queue;

  constructor(trail: AuditTrail, log: Logger) {
    this.#trail = trail;
    this.#queue = new Queue(generateQueueName, {
      connection: trail.redis,
      prefix: trail.keys.bull,
      ...independentOfRedis,
    });
    this.#queue.on('error', (error) => log.warn({ err: error.message }, 'admin connection'));
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
      await (mode === 'paused' ? this.#queue.pause() : this.#queue.resume());
      // Another admin may have changed the mode in between: the last one to tell the workers checks it again.
      if ((await this.current()) === mode) return;
    }
  }

  async close(): Promise<void> {
    await this.#queue.close().catch(() => {}); // a dead Redis must not delay the stop
  }
}
