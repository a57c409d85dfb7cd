/** Texts from Redis and from the disk, which another version, or another program, may have written. */
import { z } from 'zod';
import { assertKnown, firstContract, isNewer } from './contract.ts';

const json = z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    context.addIssue('not JSON');
    return z.NEVER;
  }
});

/** What a text says, or undefined when it is no JSON of this shape, or of a later contract. */
export function readJson<T>(text: string, schema: z.ZodType<T>): T | undefined {
  const stored = json.safeParse(text).data;
  return isNewer(stored) ? undefined : schema.safeParse(stored).data;
}

/** The same for readers that would do harm if they took what is newer for absent. @throws NewerRecord */
export function readUnlessNewer<T>(text: string, schema: z.ZodType<T>): T | undefined {
  const stored = json.safeParse(text).data;
  assertKnown(stored);
  return schema.safeParse(stored).data;
}

/** What a record says whatever its contract is: whose it is, for those who remove what belongs to somebody. */
export function readOfAny<T>(text: string, schema: z.ZodType<T>): T | undefined {
  return schema.safeParse(json.safeParse(text).data).data;
}

/** Whether a text is left alone. */
export const isNewerJson = (text: string): boolean => isNewer(json.safeParse(text).data);

/** A record as it is stored: with its contract, the first one where it says none. */
export const writeJson = (record: object): string => JSON.stringify({ contract: firstContract, ...record });

/** Whether what reads a record threw because a version of another shape wrote it: Redis itself fails with other errors. */
export const isForeign = (error: unknown): boolean =>
  error instanceof z.ZodError || error instanceof SyntaxError;
