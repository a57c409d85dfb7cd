/**
 * Which records a version understands, so that two versions can work side by side over one Redis and one folder of jobs:
 * docs/decisions/0016-a-contract-in-every-record.md. Where records lie, and under which names, is the business of schema.ts.
 *
 * Each record says the lowest contract whose readers take it as it is meant. One that says more than this version knows
 * is left alone: neither read, nor ended, nor written over.
 */
import { z } from 'zod';

/** The latest contract that this version understands. */
export const contract = 1;
/** That of records which every version understands; those from before contracts do not say one. */
export const firstContract = 1;

/** As a record says it. */
export const contractField = z.int().positive().default(firstContract);

const stampedSchema = z.object({ contract: contractField });

/** Thrown by what reads a record of a later contract than this version's. */
export class NewerRecord extends Error {
  override readonly name = 'NewerRecord';
}

/** Whether a record is to be left alone. */
export function isNewer(record: unknown): boolean {
  const stamped = stampedSchema.safeParse(record);
  return stamped.success && stamped.data.contract > contract;
}

/** For `.catch()`, where what is newer is passed over. */
export function skipNewer(error: unknown): undefined {
  if (!(error instanceof NewerRecord)) throw error;
}

/** @throws NewerRecord */
export function assertKnown(record: unknown): void {
  if (isNewer(record)) throw new NewerRecord('a newer version of Kinora wrote this');
}
