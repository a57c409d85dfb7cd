/** The storage that is a bucket, before a server of others: moto, which checks every signature as Amazon does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type S3Settings, s3Client } from '../../../src/storage/s3-client.ts';
import { S3Storage } from '../../../src/storage/s3-storage.ts';
import { eventually, timedGenerator } from '../../helpers/queue-harness.ts';
import { WebFixture } from '../../helpers/web-fixture.ts';
import { conformance } from '../conformance.ts';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}

let settings: Omit<S3Settings, 'prefix' | 'workFolder'>;
const stops: (() => unknown)[] = [];
let count = 0;

/** @param calls that are let through unchecked */
async function checkNothingFor(endpoint: string, calls: string): Promise<void> {
  const headers = { 'content-type': 'text/plain' };
  await fetch(`${endpoint}/moto-api/reset-auth`, { method: 'POST', headers, body: calls });
}

/** Whoever asks unsigned may make a user while moto checks nothing; afterwards only that user may do anything. */
async function makeUser(endpoint: string): Promise<{ accessKeyId: string; secretAccessKey: string }> {
  const credential = 'Credential=x/20260101/us-east-1/iam/aws4_request';
  const ask = async (fields: Record<string, string>): Promise<string> => {
    const body = new URLSearchParams({ Version: '2010-05-08', UserName: 'kinora', ...fields });
    const headers = { authorization: `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=host, Signature=x` };
    return await (await fetch(endpoint, { method: 'POST', headers, body })).text();
  };
  await ask({ Action: 'CreateUser' });
  const key = await ask({ Action: 'CreateAccessKey' });
  const Statement = [{ Effect: 'Allow', Action: 's3:*', Resource: '*' }];
  const PolicyDocument = JSON.stringify({ Version: '2012-10-17', Statement });
  await ask({ Action: 'PutUserPolicy', PolicyName: 'all', PolicyDocument });
  await checkNothingFor(endpoint, '0');
  const field = (name: string): string => new RegExp(`<${name}>(.*?)</${name}>`).exec(key)?.[1] ?? '';
  return { accessKeyId: field('AccessKeyId'), secretAccessKey: field('SecretAccessKey') };
}

beforeAll(async () => {
  const port = await freePort();
  const program = process.env['KINORA_MOTO'] ?? 'moto_server';
  const moto = spawn(program, ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' });
  stops.push(() => moto.kill());
  await once(moto, 'spawn'); // throws where there is none: pip install -r tests/storage/long/requirements.txt
  const endpoint = `http://127.0.0.1:${port}`;
  const answers = (): Promise<boolean> =>
    fetch(endpoint).then(
      () => true,
      () => false,
    );
  await eventually('moto answers', answers);
  const credentials = await makeUser(endpoint);
  settings = { bucket: 'kinora-test', region: 'us-east-1', endpoint, credentials };
  const client = s3Client(
    { ...settings, prefix: '', workFolder: '' },
    { connectMs: 5_000, silenceMs: 30_000 },
  );
  await client.send(new CreateBucketCommand({ Bucket: settings.bucket }));
  client.destroy();
});
afterAll(async () => {
  for (const stop of stops) await stop();
});

const open = async (folder: string, changes: Partial<S3Settings> = {}): Promise<S3Storage> =>
  new S3Storage({ ...settings, prefix: `test-${count++}`, workFolder: join(folder, 'work'), ...changes });

conformance('a bucket of moto as storage', (folder) => open(folder));

it('with wrong keys, and without the bucket, is one sentence', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kinora-moto-'));
  stops.push(() => rm(folder, { recursive: true, force: true }));
  const place = { folder: 't-1', name: 'picture' };
  const { accessKeyId = '' } = settings.credentials ?? {};
  const wrong = await open(folder, { credentials: { accessKeyId, secretAccessKey: 'wrong' } });
  await expect(wrong.put(place, 'x')).rejects.toThrow('The storage does not know the keys.');
  const missing = await open(folder, { bucket: 'never-made' });
  await expect(missing.put(place, 'x')).rejects.toThrow('The bucket never-made does not exist.');
});

it('gives and takes single files by links', async () => {
  // moto cannot check links (it answers 500); tests/fakes/s3.ts does.
  await checkNothingFor(settings.endpoint ?? '', 'inf');
  const folder = await mkdtemp(join(tmpdir(), 'kinora-moto-'));
  stops.push(() => rm(folder, { recursive: true, force: true }));
  const storage = await open(folder, { publicEndpoint: settings.endpoint });
  const place = { folder: 'upload-1', name: 'picture' };
  const url = (await storage.links?.upload(place, { bytes: 7, type: 'image/png' })) ?? '';
  const put = async (body: string, type: string): Promise<number> =>
    (await fetch(url, { method: 'PUT', body, headers: { 'content-type': type } })).status;
  expect(await put('picture', 'image/png')).toBe(200);
  const link = (await storage.links?.download(place, { disposition: 'inline', type: 'image/png' })) ?? '';
  const got = await fetch(link);
  expect([got.headers.get('content-disposition'), await got.text()]).toEqual(['inline', 'picture']);
  await checkNothingFor(settings.endpoint ?? '', '0');
});

it('is all that a bot and a worker share', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kinora-moto-'));
  stops.push(() => rm(folder, { recursive: true, force: true }));
  const prefix = `test-${count++}`;
  const bot = await open(join(folder, 'bot'), { prefix });
  const worker = await open(join(folder, 'worker'), { prefix });
  const web = await WebFixture.start({ storage: { bot, worker } });
  try {
    const ann = await web.person();
    await web.worker(timedGenerator(10));
    const { id } = await ann.create();
    expect((await ann.finished(id)).status).toBe('completed');
    expect(await (await ann.call(`/v1/videos/${id}/content`)).text()).toBe(`video of ${id}`);
    expect((await ann.call('/v1/account', { method: 'DELETE' })).status).toBe(200);
    expect(await bot.folders()).toEqual([]);
  } finally {
    await web.stop();
  }
});
