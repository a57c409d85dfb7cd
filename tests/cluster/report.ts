/** Lines of the table that `npm run test:cluster` prints: one for each master that was lost. */
import { appendFileSync } from 'node:fs';

export interface Lost {
  readonly what: string;
  /** Requests of the load, and what became of them. */
  readonly asked: number;
  readonly accepted: number;
  readonly answered: number;
  readonly answers: number;
  readonly credits: number;
  readonly runs: number;
  /** Accepted jobs that came back by their folders. */
  readonly restored: number;
  /** From the loss to the first request that was accepted, and to its answer. */
  readonly acceptedMs: number;
  readonly answeredMs: number;
}

/** Adds a line to the file that the run names. */
export function report(lost: Lost): void {
  const file = process.env['KINORA_TEST_REPORT'];
  if (file) appendFileSync(file, `${JSON.stringify(lost)}\n`);
  else process.stderr.write(`${JSON.stringify(lost)}\n`);
}
