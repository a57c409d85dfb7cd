/**
 * `npm run test:machines [-- --only NAME] [--save]`: Kinora on six hosts, which are network namespaces of this machine,
 * while hosts are cut off, slowed down, killed, and have wrong clocks. Needs Linux and root. All that it makes lies in
 * namespaces of its own and goes with them, however it ends. Logs of the hosts go to out/machines, a table to out/bench or
 * with --save to bench/results.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { printTable, type Row, tablesFolder, writeCsv } from '../../bench/report.ts';
import { Crowd } from './crowd.ts';
import { Installation, wrongClockLibrary } from './installation.ts';
import { Network } from './network.ts';
import { scenarios } from './scenarios.ts';
import { judge } from './verdict.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    save: { type: 'boolean' },
    /** This process is the first one of namespaces of its own. */
    inside: { type: 'boolean' },
  },
});

const programs: readonly (readonly string[])[] = [
  ['unshare', '--version'],
  ['nsenter', '--version'],
  ['ip', '-V'],
  ['tc', '-V'],
  ['iptables', '--version'],
  ['redis-server', '--version'],
  [process.env['KINORA_MOTO'] ?? 'moto_server', '--help'],
];

function whyNot(): string | undefined {
  if (process.platform !== 'linux') return 'This needs the namespaces of Linux.';
  if (process.getuid?.() !== 0) return 'This needs root, for network namespaces: run it with sudo.';
  const unknown = values.only?.find((name) => !Object.hasOwn(scenarios, name));
  if (unknown !== undefined) return `There is no ${unknown}; there are ${Object.keys(scenarios).join(', ')}.`;
  const missing = programs
    .filter(([name = '', ...args]) => spawnSync(name, args).status !== 0)
    .map(([name]) => name);
  if (wrongClockLibrary() === undefined) missing.push('faketime');
  if (missing.length === 0) return undefined;
  return `Missing: ${missing.join(', ')}. docs/development.md says what to install.`;
}

/** Runs this file once more, as the first process of namespaces of its own. @returns its exit code */
async function inNamespaces(): Promise<number> {
  const loader = createRequire(import.meta.url).resolve('tsx');
  const words = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', process.execPath];
  const self = ['--import', loader, fileURLToPath(import.meta.url), '--inside', ...process.argv.slice(2)];
  // It ends with its standard input, whatever ends this process.
  const child = spawn('unshare', [...words, ...self], { stdio: ['pipe', 'inherit', 'inherit'] });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill('SIGKILL'));
  const [code] = await once(child, 'exit');
  return typeof code === 'number' ? code : 1;
}

const seconds = (since: number): number => Math.round((performance.now() - since) / 1000);

async function play(network: Network, name: string): Promise<{ row: Row; violations: readonly string[] }> {
  const scenario = scenarios[name];
  if (!scenario) throw new Error(`there is no ${name}`);
  const startedAt = performance.now();
  const say = (line: string): void => void process.stderr.write(`${seconds(startedAt)} s ${line}\n`);
  const folder = join(logs, name);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  let installation: Installation | undefined;
  try {
    installation = await Installation.start(network, folder, scenario.clocks, scenario.hasStandby);
    say(`${name}: all hosts serve`);
    const crowd = await Crowd.gather(installation);
    const measures: Record<string, number> = {};
    const own = await scenario.play({ installation, crowd, say, measures });
    const healedAt = performance.now();
    say('the fault is over');
    await installation.ready();
    const readyAfterS = seconds(healedAt);
    await crowd.settled();
    const settledAfterS = seconds(healedAt);
    say('all are answered');
    const { violations: broken, ...counts } = await judge(installation, crowd);
    const violations = [...own, ...crowd.troubles, ...broken];
    const row = {
      scenario: name,
      ...counts,
      ...measures,
      readyAfterS,
      settledAfterS,
      violations: violations.length,
    };
    return { row: { ...row, seconds: seconds(startedAt) }, violations };
  } catch (error) {
    return { row: { scenario: name, violations: 1 }, violations: [String(error)] };
  } finally {
    await installation?.stop();
  }
}

const logs = fileURLToPath(new URL('../../out/machines', import.meta.url));

async function inside(): Promise<void> {
  process.stdin.on('end', () => process.exit(1)).resume();
  const network = new Network(join(logs, 'net'));
  const rows: Row[] = [];
  for (const name of values.only ?? Object.keys(scenarios)) {
    const { row, violations } = await play(network, name);
    rows.push(row);
    for (const violation of violations) process.stdout.write(`${name}: ${violation}\n`);
  }
  printTable('Several machines', rows);
  writeCsv(tables, 'machines', rows);
  process.exit(rows.some(({ violations }) => violations !== 0) ? 1 : 0);
}

const tables = tablesFolder(values.save);
const reason = values.inside ? undefined : whyNot();
if (values.inside) await inside();
else if (reason === undefined) process.exitCode = await inNamespaces();
else {
  process.stderr.write(`${reason}\n`);
  process.exitCode = 1;
}
