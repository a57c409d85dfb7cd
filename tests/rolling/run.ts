/**
 * `npm run test:rolling [-- --old REF] [--save] [--shards]`: a rolling update from a version before to this one, the way back,
 * and forth again, under load. The version before is the newest tag before this commit or, without tags, the
 * newest commit of a release. A table goes to out/bench, or with --save to bench/results. With --shards two bots share Discord
 * instead, and there is no table.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { printTable, tablesFolder, writeCsv } from '../../bench/report.ts';
import { contract } from '../../src/queue/contract.ts';
import { runRolling } from './rolling.ts';
import { runShards } from './shards.ts';
import { checkOut, nextVersion, present, previousRef, type Version } from './versions.ts';

const { values } = parseArgs({
  options: { old: { type: 'string' }, save: { type: 'boolean' }, shards: { type: 'boolean' } },
});
const tables = tablesFolder(values.save);
const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};
const folder = await mkdtemp(join(tmpdir(), 'kinora-versions-'));

/** One bot at a time, and what it is told of a version to come. */
async function alone(ref: string, old: Version): Promise<readonly string[]> {
  const next = await nextVersion(join(folder, 'next'), contract + 1);
  const { steps, violations, ...numbers } = await runRolling({ old, present, next }, say);
  const rows = steps.map((step) => ({ ...step }));
  printTable(`From ${ref}`, rows);
  writeCsv(tables, 'rolling', rows);
  say(`${numbers.requests} requests, ${numbers.unanswered} calls made again while no bot was there.`);
  return violations;
}

try {
  const { ref, why } = await previousRef(values.old);
  say(`The version before is ${ref}: ${why}.`);
  const old = await checkOut(ref, join(folder, 'old'));
  const violations = values.shards ? await runShards({ old, present }, say) : await alone(ref, old);
  for (const violation of violations) say(violation);
  say(violations.length === 0 ? 'No promise was broken.' : `${violations.length} promises were broken.`);
  process.exitCode = violations.length === 0 ? 0 : 1;
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
// Clients that still ask would keep it alive.
process.exit();
