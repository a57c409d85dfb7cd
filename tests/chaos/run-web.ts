/**
 * `npm run test:chaos:web -- --kills 50 --requests 200 [--seed 1] [--save]`: that many kills under that many requests
 * over HTTP, then the verdict and a summary of it in out/bench/chaos-web.csv, or with --save in bench/results.
 */
import { parseArgs } from 'node:util';
import { type Row, tablesFolder, writeCsv } from '../../bench/report.ts';
import { runWebChaos, type WebChaosReport } from './web-chaos.ts';

function summary({ kills, recoveriesMs, violations, ...numbers }: WebChaosReport): Row[] {
  const at = (share: number): number => recoveriesMs[Math.ceil(recoveriesMs.length * share) - 1] ?? 0;
  const killed = Object.entries(kills).map(([name, count]) => [`${name} killed`, count] as const);
  return Object.entries({
    ...numbers,
    readyAgainMsMedian: at(0.5),
    readyAgainMsMax: at(1),
    violations: violations.length,
    ...Object.fromEntries(killed),
  }).map(([what, value]) => ({ what, value }));
}

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '50' },
    requests: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    save: { type: 'boolean', default: false },
  },
});
const tables = tablesFolder(values.save);
const report = await runWebChaos(
  { kills: Number(values.kills), requests: Number(values.requests), seed: Number(values.seed) },
  (line) => {
    process.stderr.write(`${line}\n`);
  },
);
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
writeCsv(tables, 'chaos-web', summary(report));
process.exit(report.violations.length > 0 ? 1 : 0);
