/** The bot is killed while people ask over HTTP: no id is lost, none is doubled, and no state goes back. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ApiKeys } from '../../src/queue/api-keys.ts';
import { Artifacts } from '../../src/queue/artifacts.ts';
import { type Video, videoSchema } from '../../src/web/videos/schemas.ts';
import { JobWorker } from '../../src/worker/worker.ts';
import { eventually, log, timedGenerator } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';

const photo = await readFile(fileURLToPath(new URL('../../examples/cat.jpg', import.meta.url)));
const picture = `data:image/jpeg;base64,${photo.toString('base64')}`;

let redis: TestRedis;
let folder: string;
let token: string;
let userKey: string;
let bot: ChildProcess | undefined;
let address = '';
beforeEach(async () => {
  redis = await TestRedis.start();
  folder = await mkdtemp(join(tmpdir(), 'kinora-kill-'));
  const made = await new ApiKeys(redis.connect()).create({ name: 'test', scopes: ['use'] });
  ({ token } = made);
  ({ userKey } = made.key);
});
afterEach(async () => {
  await kill();
  await redis.stop();
  await rm(folder, { recursive: true, force: true });
});

async function start(): Promise<void> {
  const loader = createRequire(import.meta.url).resolve('tsx');
  const script = fileURLToPath(new URL('../helpers/web-process.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', loader, script, redis.socketPath, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  bot = child;
  const died = once(child, 'exit').then(() => {
    throw new Error('the bot ended while it started');
  });
  const [text] = (await Promise.race([once(child.stdout, 'data'), died])) as [Buffer];
  died.catch(() => {}); // killed later, on purpose
  address = text.toString();
}

async function kill(): Promise<void> {
  if (!bot || bot.exitCode !== null || bot.signalCode !== null) return;
  const ended = once(bot, 'exit');
  bot.kill('SIGKILL');
  await ended;
}

/** Asks until somebody answers, as a client with an Idempotency-Key may. */
async function call(
  path: string,
  init: RequestInit = {},
  headers: Record<string, string> = {},
): Promise<Video> {
  for (;;) {
    try {
      const response = await fetch(`${address}${path}`, {
        ...init,
        headers: { 'x-api-key': token, ...headers },
      });
      const text = await response.text();
      if (response.status === 200) return videoSchema.parse(JSON.parse(text));
      if (response.status < 500) throw new Error(`${response.status} ${text}`);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // the connection broke
    }
    await sleep(50);
  }
}

const create = (key: string): Promise<Video> =>
  call(
    '/v1/videos',
    { method: 'POST', body: JSON.stringify({ prompt: key, input_reference: picture }) },
    { 'content-type': 'application/json', 'idempotency-key': key },
  );

/** A key may call a hundred times a second. */
const lookEveryMs = 500;

it('every request is one video and one charge, whatever dies in between', async () => {
  await start();
  const worker = new JobWorker(redis.patient(), new Artifacts(join(folder, 'jobs')), timedGenerator(20), log);
  await worker.start();
  const keys = Array.from({ length: 30 }, (_, i) => `request-${i}`);
  const ids = new Map<string, string>();
  const asking = Promise.all(
    keys.map(async (key, i) => {
      await sleep(i * 60);
      ids.set(key, (await create(key)).id);
    }),
  );
  const ranks = { queued: 0, in_progress: 1, failed: 2, completed: 2 };
  const seen = new Map<string, number>();
  let isDone = false;
  const watching = (async () => {
    while (!isDone) {
      for (const id of ids.values()) {
        const rank = ranks[(await call(`/v1/videos/${id}`)).status];
        expect(rank).toBeGreaterThanOrEqual(seen.get(id) ?? 0);
        seen.set(id, rank);
      }
      await sleep(lookEveryMs);
    }
  })();
  for (let i = 0; i < 4; i++) {
    await sleep(350);
    await kill();
    await start();
  }
  await asking;
  await eventually(
    'all videos',
    async () => {
      await sleep(lookEveryMs);
      const videos = await Promise.all([...ids.values()].map((id) => call(`/v1/videos/${id}`)));
      return videos.every(({ status }) => status === 'completed');
    },
    60_000,
  );
  isDone = true;
  await watching;
  // Asked once more, each is the video that it was.
  for (const key of keys) expect((await create(key)).id).toBe(ids.get(key));
  expect(new Set(ids.values()).size).toBe(keys.length);
  const connection = redis.connect();
  expect(await connection.zcard(`kinora:history:${userKey}`)).toBe(keys.length);
  expect(await connection.hget('kinora:used:2026-11-21', userKey)).toBe(String(keys.length));
  await worker.stop(0);
}, 180_000);
