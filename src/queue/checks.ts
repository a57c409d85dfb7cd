/** Whom and what admins may set values for, and in which form. What does not fit is refused with INVALID_OPTION. */
import { KinoraError } from '../errors.ts';
import { jobRequestSchema } from './jobs.ts';

export const targetKinds = ['user', 'role', 'community'] as const;

/** One user, everybody with a role, or everybody in a community. */
export interface Target {
  readonly kind: (typeof targetKinds)[number];
  /** "<platform>:<id>" */
  readonly key: string;
}

/** Both ends included. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

const keySchema = jobRequestSchema.shape.userKey;

/** Field of the target in the hashes of allowances and weights, and its name in the audit trail: "user:discord:8035". */
export function targetField(target: Target): string {
  const field = `${target.kind}:${target.key}`;
  if (keySchema.safeParse(target.key).success) return field;
  throw new KinoraError('INVALID_OPTION', { kind: 'target', got: field.slice(0, 80) });
}

/** The opposite of targetField(); undefined for anything else. */
export function parseTarget(field: string): Target | undefined {
  const [first, ...rest] = field.split(':');
  const kind = targetKinds.find((known) => known === first);
  const key = rest.join(':');
  return kind && keySchema.safeParse(key).success ? { kind, key } : undefined;
}

/** @returns the key of a user or community, unchanged */
export function checkOwner(key: string): string {
  if (keySchema.safeParse(key).success) return key;
  throw new KinoraError('INVALID_OPTION', { kind: 'owner', got: key.slice(0, 80) });
}

export function checkWhole(what: string, value: number, { min, max }: Range): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new KinoraError('INVALID_OPTION', { kind: 'range', what, min, max, isWhole: true, got: value });
}
