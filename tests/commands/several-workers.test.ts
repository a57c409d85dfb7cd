/** A bot and two workers as people run them, in processes of their own: each worker has another family of models. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ApiKeys } from '../../src/queue/api-keys.ts';
import { Ledger } from '../../src/queue/ledger.ts';
import { tinyPackPath } from '../helpers/golden.ts';
import { svdPackPath } from '../helpers/golden-svd.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';
import { freePort } from '../helpers/running-kinora.ts';
import { WebPerson } from '../helpers/web-person.ts';

const entry = fileURLToPath(new URL('../../src/kinora.mjs', import.meta.url));
const models = ['tiny-i2vgen-xl', 'tiny-svd'];
const children: ChildProcess[] = [];
let folder: string;
let redis: TestRedis;
let ann: WebPerson;
let said = '';

function run(command: 'bot' | 'worker', settings: Readonly<Record<string, string>>): void {
  const env = {
    PATH: process.env['PATH'],
    KINORA_ENV_FILE: join(folder, 'settings.env'),
    KINORA_DATA_DIR: folder,
    KINORA_DEVICE: 'cpu',
    KINORA_THREADS: '1',
    KINORA_WARMUP: 'off',
    REDIS_URL: `unix://${redis.socketPath}`,
    ...settings,
  };
  const child = spawn(process.execPath, [entry, command], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += String(text)));
  children.push(child);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-several-'));
  await writeFile(join(folder, 'settings.env'), '');
  redis = await TestRedis.start();
  const port = await freePort();
  // The bot's own settings name one of them; it hears of the other one from its worker.
  run('bot', { KINORA_WEB_PORT: String(port), KINORA_MODEL: tinyPackPath });
  for (const pack of [tinyPackPath, svdPackPath]) run('worker', { KINORA_MODEL: pack });
  const { key, token } = await new ApiKeys(redis.connect()).create({ name: 'test', scopes: ['use'] });
  ann = new WebPerson({ url: `http://127.0.0.1:${port}` }, token, key.userKey);
  const offered = async (): Promise<string> =>
    await ann.call('/v1/models').then(
      (answer) => answer.text(),
      () => '',
    );
  await eventually('both models', async () => {
    const text = await offered();
    return models.every((model) => text.includes(`"${model}"`));
  }).catch((error: unknown) => expect.fail(`${error}\n${said}`));
});
afterAll(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }
  await redis.stop();
  await rm(folder, { recursive: true, force: true });
});

it('makes each video in the worker that has its model', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 4; i++) {
    const model = models[i % 2] ?? '';
    ids.push((await ann.create({ model, size: '64x64', num_frames: '2', num_inference_steps: '1' })).id);
  }
  const ledger = new Ledger(redis.connect());
  const workers = new Map<string, Set<string | undefined>>();
  for (const [i, id] of ids.entries()) {
    const video = await ann.finished(id);
    const model = models[i % 2] ?? '';
    expect(video).toMatchObject({ status: 'completed', model, num_frames: 2 });
    workers.set(model, (workers.get(model) ?? new Set()).add((await ledger.read(id))?.worker));
  }
  const [one, other] = models.map((model) => [...(workers.get(model) ?? [])]);
  expect([one?.length, other?.length]).toEqual([1, 1]);
  expect(one?.[0]).toBeDefined();
  expect(one).not.toEqual(other);
});
