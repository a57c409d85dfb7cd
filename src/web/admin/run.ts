/** Carries out the commands of admins for calls of the API. */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Administration } from '../../bot/admin/administration.ts';
import type { AdminCommand } from '../../bot/admin/commands.ts';
import type { AdminOutcome } from '../../bot/admin/run-command.ts';
import type { Artifacts } from '../../queue/artifacts.ts';
import { reasonLength } from '../../queue/audit.ts';
import { parseTarget, type Target } from '../../queue/checks.ts';
import type { JobClient } from '../../queue/client.ts';
import type { Keys } from '../../queue/keys.ts';
import type { Redis } from '../../queue/redis.ts';
import { callerWith } from '../caller.ts';
import { errorSchema, invalidParameter, ProblemError, refusalProblem } from '../problem.ts';

export const tags = ['administration'];
export const errors = { '4xx': errorSchema, '5xx': errorSchema } as const;
export const reasonSchema = z.string().max(reasonLength.max).default('');
// Patterns and ranges in meta() are for the document: what is refused by the command has a better sentence.
const keyPattern = '[a-z]{1,20}:[A-Za-z0-9_.@-]{1,64}$';
export const userSchema = z
  .string()
  .max(100)
  .meta({ pattern: `^${keyPattern}` });
const target = z.string().max(100);
export const targetSchema = z.object({
  target: target
    .describe('"user:discord:8035", "role:…" or "community:…".')
    .meta({ pattern: `^(user|role|community):${keyPattern}` }),
});
export const userTargetSchema = z.object({
  target: target.describe('"user:discord:8035".').meta({ pattern: `^user:${keyPattern}` }),
});
export const ownerSchema = z.object({
  target: target
    .describe('"user:discord:8035" or "community:…".')
    .meta({ pattern: `^(user|community):${keyPattern}` }),
});
export const changedSchema = z.object({ changed: z.boolean() });
export const pageSchema = z.strictObject({ page: z.coerce.number().int().min(1).default(1) });

export interface AdminRouteTools {
  readonly administration: Administration;
  readonly client: JobClient;
  readonly artifacts: Pick<Artifacts, 'freeSpace' | 'almostFull'>;
  /** A fail-fast connection. */
  readonly redis: Redis;
  readonly keys: Keys;
}

/** Carries out a command, for a key that may, and returns its outcome when it is of these kinds. */
export async function run<Kind extends AdminOutcome['kind']>(
  request: FastifyRequest,
  administration: Administration,
  command: AdminCommand,
  ...kinds: readonly Kind[]
): Promise<Extract<AdminOutcome, { kind: Kind }>> {
  const { person } = callerWith(request, 'admin');
  const outcome = await administration.admin({ ...person, isAdmin: true }, command);
  if (isOf(outcome, kinds)) return outcome;
  throw outcome.kind === 'refused'
    ? refusalProblem(outcome.reason)
    : new ProblemError({ kind: 'badRequest' });
}

function isOf<Kind extends AdminOutcome['kind']>(
  outcome: AdminOutcome,
  kinds: readonly Kind[],
): outcome is Extract<AdminOutcome, { kind: Kind }> {
  return (kinds as readonly string[]).includes(outcome.kind); // a wider array, to look for any kind in it
}

export function targetOf(text: string): Target {
  const target = parseTarget(text);
  if (target) return target;
  throw invalidParameter('target', { kind: 'target', got: text.slice(0, 80) });
}

/** Of a user or a community: nobody else can be banned. */
export function ownerOf(text: string): Target & { readonly kind: 'user' | 'community' } {
  const { kind, key } = targetOf(text);
  if (kind !== 'role') return { kind, key };
  throw invalidParameter('target', { kind: 'owner', got: text.slice(0, 80) });
}

export const nameOf = ({ kind, key }: Target): string => `${kind}:${key}`;
export const timeOf = (ms: number | undefined): string | null => (ms ? new Date(ms).toISOString() : null);

/** What Redis answers. @throws ProblemError where it does not */
export async function orUnavailable<T>(answer: Promise<T>): Promise<T> {
  return await answer.catch(() => {
    throw new ProblemError({ kind: 'unavailable' });
  });
}
