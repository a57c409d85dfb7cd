/**
 * A bot and two workers as people run them, in processes of their own and each with a data folder of its own, as on three
 * machines with a bucket: each worker has another family of models.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ApiKeys } from '../../src/queue/api-keys.ts';
import { Ledger } from '../../src/queue/ledger.ts';
import { FakeS3 } from '../fakes/s3.ts';
import { svdPackPath, tinyPackPath } from '../helpers/golden.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { TestRedis } from '../helpers/redis-server.ts';
import { freePort } from '../helpers/running-kinora.ts';
import { WebPerson } from '../helpers/web-person.ts';

const entry = fileURLToPath(new URL('../../src/kinora.mjs', import.meta.url));
const models = ['tiny-i2vgen-xl', 'tiny-svd'];
const packs = [tinyPackPath, svdPackPath];
const children: ChildProcess[] = [];
let s3: FakeS3;
let folder: string;
let redis: TestRedis;
let ann: WebPerson;
let said = '';

const machineOf = (pack: string): string => join(folder, String(packs.indexOf(pack)));

function run(command: 'bot' | 'worker', settings: Readonly<Record<string, string>>): ChildProcess {
  const { bucket, prefix, endpoint, credentials } = s3.settings(folder);
  const env = {
    PATH: process.env['PATH'],
    KINORA_ENV_FILE: join(folder, 'settings.env'),
    KINORA_STORAGE: `s3://${bucket}/${prefix}`,
    AWS_ENDPOINT_URL: endpoint,
    AWS_ACCESS_KEY_ID: credentials?.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials?.secretAccessKey,
    AWS_REGION: 'eu-central-1',
    KINORA_DEVICE: 'cpu',
    KINORA_THREADS: '1',
    KINORA_WARMUP: 'off',
    REDIS_URL: `unix://${redis.socketPath}`,
    ...settings,
  };
  const child = spawn(process.execPath, [entry, command], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += String(text)));
  children.push(child);
  return child;
}

const work = (pack: string): ChildProcess =>
  run('worker', { KINORA_MODEL: pack, KINORA_DATA_DIR: machineOf(pack) });

async function end(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-several-'));
  await writeFile(join(folder, 'settings.env'), '');
  redis = await TestRedis.start();
  s3 = await FakeS3.start();
  const port = await freePort();
  // The bot's own settings name one of them; it hears of the other one from its worker.
  run('bot', {
    KINORA_WEB_PORT: String(port),
    KINORA_MODEL: tinyPackPath,
    KINORA_DATA_DIR: join(folder, 'bot'),
  });
  for (const pack of packs) work(pack);
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
  await Promise.all(children.map(end));
  await s3.stop();
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
    await eventually('what it can be extended by', () =>
      [...s3.objects.keys()].some((key) => key.endsWith(`${id}/latents`)),
    );
    expect(video).toMatchObject({ status: 'completed', model, num_frames: 2 });
    workers.set(model, (workers.get(model) ?? new Set()).add((await ledger.read(id))?.worker));
  }
  const [one, other] = models.map((model) => [...(workers.get(model) ?? [])]);
  expect([one?.length, other?.length]).toEqual([1, 1]);
  expect(one?.[0]).toBeDefined();
  expect(one).not.toEqual(other);
});

it('removes what a person deletes from the caches of all workers, also of one that was off', async () => {
  /** What was computed from pictures; encodings of words are nobody's. */
  const cachedBy = async (pack: string): Promise<string[]> => {
    const names = await readdir(join(machineOf(pack), 'cache')).catch(() => []);
    return names.filter((name) => /^(file|image|video)-/.test(name));
  };
  for (const pack of packs) {
    await eventually('entries', async () => (await cachedBy(pack)).length >= 3);
  }
  await end(children[1 + packs.indexOf(svdPackPath)]);
  expect((await ann.call('/v1/account', { method: 'DELETE' })).status).toBe(200);
  await eventually(
    'the worker that runs removes them',
    async () => (await cachedBy(tinyPackPath)).length === 0,
  );
  expect((await cachedBy(svdPackPath)).length).toBeGreaterThanOrEqual(3);
  said = '';
  work(svdPackPath);
  await eventually('the other one is back', () => said.includes('The model tiny-svd runs'));
  expect(await cachedBy(svdPackPath)).toEqual([]);
  expect([...s3.objects.keys()]).toEqual([]);
});
