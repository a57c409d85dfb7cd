/**
 * Which model packs there are, by what workers tell of theirs, and under which names the jobs of each wait. A model is
 * named by the id of its pack. Its description is kept as text: only those who know packs can read it.
 */
import { z } from 'zod';
import type { Keys } from './keys.ts';
import type { Redis } from './redis.ts';

export const modelIdSchema = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/);

/** What says how long a job takes: its preset and, where it has one, its model. */
export interface JobKind {
  readonly preset: string;
  readonly model?: string | undefined;
}

/** "standard@svd", or "standard" for jobs that have no model. */
export function kindName({ preset, model }: JobKind): string {
  return model === undefined ? preset : `${preset}@${model}`;
}

export function readKind(name: string): JobKind {
  const at = name.lastIndexOf('@');
  return at < 0 ? { preset: name } : { preset: name.slice(0, at), model: name.slice(at + 1) };
}

/**
 * BullMQ's queue of a model's jobs: a worker that does not have it is never handed one. Jobs without a model, which an
 * earlier version or a bot that knows of no model has made, are in one that all workers serve.
 */
export function generateQueueOf(model: string | undefined): string {
  return model === undefined ? 'generate' : `generate-${model}`;
}

/** The queues that jobs may be in. */
export async function generateQueues(redis: Redis, keys: Keys): Promise<string[]> {
  const ids = await redis.hkeys(keys.models);
  return [undefined, ...ids.sort()].map(generateQueueOf);
}

/** @param descriptions by the ids of the models */
export async function tellOfModels(
  redis: Redis,
  keys: Keys,
  descriptions: ReadonlyMap<string, string>,
): Promise<void> {
  if (descriptions.size > 0) await redis.hset(keys.models, descriptions);
}

/** @param counts by the names of kinds */
export function countsByPreset(
  counts: Iterable<readonly [kind: string, count: number]>,
): Map<string, number> {
  const sums = new Map<string, number>();
  for (const [kind, count] of counts) {
    const { preset } = readKind(kind);
    sums.set(preset, (sums.get(preset) ?? 0) + count);
  }
  return sums;
}
