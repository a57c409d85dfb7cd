/**
 * `npm run bench:web`: how long the API takes to acknowledge a request, and a chat to answer a command, while many
 * people listen and poll. The bot is that of the command line with a private Redis that syncs every write; Telegram is a
 * stand-in on this machine; the engine only counts. All of it, the load too, shares the cores of the machine.
 *
 * 1. The chat alone: /queue, asked by many people at a steady rate.
 * 2. The same with listeners, polls and requests over HTTP beside it.
 *
 * Options: --listeners 300 · --polls 50 (a second) · --requests 4 (a second) · --seconds 60 · --save (tables go to
 * bench/results instead of out/bench)
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createLogger } from '../src/log.ts';
import { ApiKeys } from '../src/queue/api-keys.ts';
import { connectRedis } from '../src/queue/redis.ts';
import { startPrivateRedis } from '../src/supervisor/private-redis.ts';
import { type FakeTelegram, startFakeTelegram } from '../tests/fakes/telegram/server.ts';
import { freePort } from '../tests/helpers/running-kinora.ts';
import { environmentLine, printTable, type Row, tablesFolder, writeCsv } from './report.ts';
import type { LoadOptions, LoadReport } from './web/protocol.ts';

const { values } = parseArgs({
  options: {
    listeners: { type: 'string', default: '300' },
    polls: { type: 'string', default: '50' },
    requests: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '60' },
    save: { type: 'boolean', default: false },
  },
});
const tables = tablesFolder(values.save);
const seconds = Number(values.seconds);
const requestsPerSecond = Number(values.requests);
/** The worker keeps pace with the requests, so the queue keeps its length. */
const jobMs = 1000 / requestsPerSecond;
const chatPerSecond = 4;
const manyTokens = 50;
const waiting = 100;

const project = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'kinora-bench-'));
const children: ChildProcess[] = [];

function child(script: string, ...args: string[]): ChildProcess {
  const started = fork(path.join(project, script), args, { execArgv: ['--import', 'tsx'] });
  children.push(started);
  return started;
}

async function heard(from: ChildProcess, word: string): Promise<void> {
  const ended = once(from, 'exit').then(([code]) => {
    throw new Error(`a process of the bench ended with ${code}`);
  });
  ended.catch(() => {}); // after the race its result is not used
  for (;;) {
    const [message] = (await Promise.race([once(from, 'message'), ended])) as [unknown];
    if (message === word) return;
  }
}

async function startBot(socketPath: string, telegram: FakeTelegram) {
  const port = await freePort();
  const envFile = path.join(folder, 'settings.env');
  writeFileSync(envFile, '');
  const bot = spawn(process.execPath, [path.join(project, 'src/kinora.mjs'), 'bot'], {
    env: {
      PATH: process.env['PATH'],
      KINORA_ENV_FILE: envFile,
      KINORA_DATA_DIR: folder,
      KINORA_WEB_PORT: String(port),
      KINORA_TELEGRAM_TOKEN: telegram.token,
      KINORA_TELEGRAM_API: telegram.apiRoot,
      KINORA_QUEUE_LIMIT: '100000',
      KINORA_USER_LIMIT: '100000',
      KINORA_CREDITS_PER_DAY: '100000',
      REDIS_URL: `unix://${socketPath}`,
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  children.push(bot);
  const url = `http://127.0.0.1:${port}`;
  while (
    !(await fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    ))
  )
    await sleep(100);
  return { url, pid: bot.pid ?? 0 };
}

/** Of the processor, in seconds since the process began. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return ticks / 100;
}

/** Everybody asks once in their own chat, so no limit of a chat slows the answers. */
async function askInChat(telegram: FakeTelegram): Promise<number[]> {
  const answersMs: number[] = [];
  const asking: Promise<void>[] = [];
  const until = performance.now() + seconds * 1000;
  for (let next = performance.now(); next < until; next += 1000 / chatPerSecond) {
    await sleep(Math.max(0, next - performance.now()));
    const chat = telegram.privateChat({ user: telegram.user() });
    const askedAt = performance.now();
    chat.sendsText('/queue');
    const answered = telegram.until(() => telegram.answers(chat).length > 0, 60_000);
    asking.push(answered.then(() => void answersMs.push(performance.now() - askedAt)));
  }
  await Promise.all(asking);
  return answersMs;
}

function rowOf(what: string, ms: readonly number[]): Row {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.ceil(sorted.length * share) - 1] ?? 0).toFixed(1);
  return { what, count: ms.length, p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99), max_ms: at(1) };
}

const telegram = await startFakeTelegram();
const redis = await startPrivateRedis(folder, createLogger('bench', 'error'));
try {
  const { url, pid } = await startBot(redis.socketPath, telegram);
  const connection = connectRedis({ socketPath: redis.socketPath }, 'patient', () => {});
  const apiKeys = new ApiKeys(connection);
  const keys = Array.from({ length: manyTokens }, (_, i) =>
    apiKeys.create({ name: `p${i}`, scopes: ['use'] }),
  );
  const tokens = (await Promise.all(keys)).map(({ token }) => token);
  connection.disconnect();
  const worker = child('bench/web/worker.ts', redis.socketPath, path.join(folder, 'jobs'), String(jobMs));
  await heard(worker, 'serving');

  await askInChat(telegram).then((ms) => ms.length); // the code is warm, and the connections are there
  const others = loadavg()[0]?.toFixed(1);
  const alone = await askInChat(telegram);

  const load = child(
    'bench/web/load.ts',
    JSON.stringify({
      ...{ url, tokens, waiting, requestsPerSecond },
      listeners: Number(values.listeners),
      pollsPerSecond: Number(values.polls),
    } satisfies LoadOptions),
  );
  await heard(load, 'listening');
  load.send('measure');
  await sleep(3_000);
  const cpuBefore = cpuSeconds(pid);
  const beside = await askInChat(telegram);
  const cores = (cpuSeconds(pid) - cpuBefore) / seconds;
  load.send('stop');
  const [report] = (await once(load, 'message')) as [LoadReport];

  const rows = [
    rowOf('POST /v1/videos', report.createMs),
    rowOf('GET /v1/videos/{id}', report.pollMs),
    rowOf('chat alone', alone),
    rowOf('chat beside the load', beside),
  ];
  printTable(
    `${values.listeners} listeners, ${values.polls} polls and ${values.requests} requests a second, ${seconds} s`,
    rows,
  );
  process.stdout.write(
    `\n${report.events} events heard; the bot used ${cores.toFixed(2)} cores; load of the machine before: ${others}\n${environmentLine()}\n`,
  );
  for (const problem of new Set(report.problems)) process.stdout.write(`${problem}\n`);
  writeCsv(tables, 'web', rows);
} finally {
  for (const started of children) started.kill('SIGKILL');
  await redis.stop();
  await telegram.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exit();
