/**
 * `npm run test:chaos -- --runs 100 [--seed 1] [--save]`: that many random faults, then the verdict and a
 * summary of it in out/bench/chaos.csv, or with --save in bench/results.
 */
import { parseArgs } from 'node:util';
import { type Row, tablesFolder, writeCsv } from '../../bench/report.ts';
import { type ChaosReport, runChaos } from './chaos.ts';

function summary({ faults, recoveriesMs, violations, ...numbers }: ChaosReport): Row[] {
  const at = (share: number): number => recoveriesMs[Math.ceil(recoveriesMs.length * share) - 1] ?? 0;
  return Object.entries({
    ...numbers,
    workersKilledWithWork: recoveriesMs.length,
    recoveryMsMedian: at(0.5),
    recoveryMsP99: at(0.99),
    recoveryMsMax: at(1),
    violations: violations.length,
    ...faults,
  }).map(([what, value]) => ({ what, value }));
}

const { values } = parseArgs({
  options: { runs: { type: 'string' }, seed: { type: 'string' }, save: { type: 'boolean' } },
});
const tables = tablesFolder(values.save);
const report = await runChaos(Number(values.runs ?? 100), Number(values.seed ?? 1), (line) => {
  process.stderr.write(`${line}\n`);
});
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
writeCsv(tables, 'chaos', summary(report));
process.exit(report.violations.length > 0 ? 1 : 0);
