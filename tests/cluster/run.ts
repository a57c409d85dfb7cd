/**
 * `npm run test:cluster [-- --save]`: the tests of the queue over each kind of Redis that this machine has, over a Cluster
 * of three masters of it, and masters that are lost under load. Besides redis-server that is valkey-server, where it is in
 * the PATH or KINORA_VALKEY_SERVER names it. Tables go to out/bench, or with --save to bench/results.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import { printTable, type Row, tablesFolder, writeCsv } from '../../bench/report.ts';
import type { Lost } from './report.ts';

const { values } = parseArgs({ options: { save: { type: 'boolean' } } });
const tables = tablesFolder(values.save);
const folder = await mkdtemp(join(tmpdir(), 'kinora-cluster-run-'));
const resultSchema = z.object({ numPassedTests: z.int(), numFailedTests: z.int() });

/** These need a single server, or a proxy before it. */
const single = ['redis.test.ts', 'adopt.test.ts', 'network.test.ts', 'cluster.test.ts'];

interface Server {
  readonly name: string;
  readonly program: string;
}

function installed(): Server[] {
  const programs = ['redis-server', process.env['KINORA_VALKEY_SERVER'] ?? 'valkey-server'];
  return programs.flatMap((program) => {
    const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
    const name = /^(\w+) server v=([\d.]+)/.exec(stdout ?? '');
    return name ? [{ name: `${name[1]} ${name[2]}`, program }] : [];
  });
}

async function vitest(args: readonly string[], environment: NodeJS.ProcessEnv) {
  const file = join(folder, 'result.json');
  const child = spawn(
    'npx',
    ['vitest', 'run', ...args, '--reporter=default', '--reporter=json', `--outputFile.json=${file}`],
    { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...environment } },
  );
  const [code] = await once(child, 'exit');
  const { numPassedTests: passed, numFailedTests } = resultSchema.parse(
    JSON.parse(await readFile(file, 'utf8')),
  );
  // A file that fails before its tests counts none.
  return { passed, failed: code === 0 ? 0 : Math.max(numFailedTests, 1) };
}

const suites: Row[] = [];
const losses: Row[] = [];
let failed = 0;
for (const { name, program } of installed()) {
  const server = { KINORA_TEST_SERVER: program };
  const note = (what: string, result: { readonly passed: number; readonly failed: number }): void => {
    suites.push({ server: name, what, ...result });
    failed += result.failed;
  };
  const suite = ['--project', 'slow', 'tests/queue', 'tests/bot/upkeep'];
  note('one server', await vitest(suite, server));
  const others = single.flatMap((file) => ['--exclude', `tests/queue/${file}`]);
  note(
    'Cluster of three masters',
    await vitest([...suite, ...others], { ...server, KINORA_TEST_CLUSTER: '1' }),
  );
  const lines = join(folder, `${losses.length}.jsonl`);
  const lost = { ...server, KINORA_TEST_REPORT: lines };
  note('masters are lost under load', await vitest(['--project', 'cluster'], lost));
  const text = await readFile(lines, 'utf8').catch(() => '');
  for (const line of text.split('\n').filter(Boolean)) {
    const { acceptedMs, answeredMs, ...counts } = JSON.parse(line) as Lost;
    losses.push({
      server: name,
      ...counts,
      acceptedAfterS: (acceptedMs / 1000).toFixed(1),
      answeredAfterS: (answeredMs / 1000).toFixed(1),
    });
  }
}
printTable('Tests', suites);
printTable('Masters that were lost', losses);
writeCsv(tables, 'cluster-tests', suites);
writeCsv(tables, 'cluster-losses', losses);
await rm(folder, { recursive: true, force: true });
process.exitCode = failed > 0 ? 1 : 0;
