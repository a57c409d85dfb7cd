/**
 * Weights: how large a share of the workers' time a user, a role or a community gets while the queue is busy. Without a
 * weight it is 1; lua/admit.lua applies them to requests from then on.
 */
import { KinoraError } from '../errors.ts';
import type { AuditTrail } from './audit.ts';
import { parseTarget, type Target, targetField } from './checks.ts';

export const weightRange = { min: 0.1, max: 10 } as const;

export interface Weight {
  readonly target: Target;
  readonly weight: number;
}

export class Weights {
  readonly #trail: AuditTrail;

  constructor(trail: AuditTrail) {
    this.#trail = trail;
  }

  /**
   * @param by userKey of the admin
   * @returns whether this changed anything
   */
  async set(by: string, target: Target, weight: number, reason = ''): Promise<boolean> {
    const { min, max } = weightRange;
    if (!(weight >= min && weight <= max)) {
      throw new KinoraError('INVALID_OPTION', { kind: 'weight', min, max, got: weight });
    }
    const field = targetField(target);
    const change = { change: 'set', key: this.#trail.keys.weights, field, value: String(weight) } as const;
    return (await this.#trail.act({ by, action: 'weight', target: field, ...change, reason })).changed;
  }

  /** @returns whether there was a weight */
  async clear(by: string, target: Target, reason = ''): Promise<boolean> {
    const field = targetField(target);
    const change = { change: 'delete', key: this.#trail.keys.weights, field } as const;
    return (await this.#trail.act({ by, action: 'clear-weight', target: field, ...change, reason })).changed;
  }

  /** What set() has set for exactly this target. */
  async of(target: Target): Promise<number | undefined> {
    const text = await this.#trail.redis.hget(this.#trail.keys.weights, targetField(target));
    return text === null ? undefined : Number(text);
  }

  /** All weights that are set, the largest first. */
  async all(): Promise<Weight[]> {
    const stored = await this.#trail.redis.hgetall(this.#trail.keys.weights);
    const weights = Object.entries(stored).flatMap(([field, text]) => {
      const target = parseTarget(field);
      return target ? [{ target, weight: Number(text) }] : [];
    });
    return weights.sort((a, b) => b.weight - a.weight);
  }
}
