/** `npm run test:chaos -- --runs 100 [--seed 1]`: that many random faults, then the verdict. */
import { parseArgs } from 'node:util';
import { runChaos } from './chaos.ts';

const { values } = parseArgs({ options: { runs: { type: 'string' }, seed: { type: 'string' } } });
const report = await runChaos(Number(values.runs ?? 100), Number(values.seed ?? 1), (line) => {
  process.stderr.write(`${line}\n`);
});
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
process.exit(report.violations.length > 0 ? 1 : 0);
