/** What doctor says of a bucket. */
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { checkStorage } from '../../src/commands/doctor/storage.ts';
import { loadConfig } from '../../src/config.ts';
import { FakeS3 } from '../fakes/s3.ts';

it('names a bucket that works, a wrong clock, and what is wrong with another, and removes no copies', async () => {
  const s3 = await FakeS3.start();
  const folder = await mkdtemp(join(tmpdir(), 'kinora-doctor-'));
  onTestFinished(async () => {
    await s3.stop();
    await rm(folder, { recursive: true, force: true });
  });
  const { accessKeyId = '', secretAccessKey = '' } = s3.settings(folder).credentials ?? {};
  const environment = {
    KINORA_ENV_FILE: '/dev/null',
    KINORA_DATA_DIR: folder,
    KINORA_STORAGE: `s3://${s3.bucket}/some/where`,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_ENDPOINT_URL_S3: s3.endpoint,
    AWS_ENDPOINT_URL: 'http://127.0.0.1:9',
  };
  // Of a worker whose bucket is another one.
  const copy = join(folder, 'work', `t-1.${randomUUID()}`);
  await mkdir(copy, { recursive: true });
  const check = async (changes: NodeJS.ProcessEnv = {}) =>
    (await checkStorage(loadConfig({ ...environment, ...changes })))[0];
  expect(await check()).toEqual({
    name: 'storage',
    state: 'ok',
    detail: `s3://${s3.bucket}/some/where can be written, read, listed and deleted from`,
  });
  expect(s3.objects.size).toBe(0);
  s3.clockMs = -3_600_000;
  expect(await check()).toMatchObject({ state: 'warn', detail: expect.stringMatching(/36\d\d s ahead/) });
  s3.clockMs = 0;
  const missing = await check({ KINORA_STORAGE: 's3://another' });
  expect(missing).toMatchObject({ state: 'fail', detail: 'The bucket another does not exist.' });
  const wrong = await check({ AWS_SECRET_ACCESS_KEY: 'wrong' });
  expect(wrong).toMatchObject({ state: 'fail', remedy: expect.stringContaining('AWS_SECRET_ACCESS_KEY') });
  expect(await check({ KINORA_STORAGE: undefined })).toBeUndefined();
  expect(() => loadConfig({ ...environment, KINORA_STORAGE: 'ftp://x' })).toThrow(/expected s3:/);
  expect(await readdir(copy)).toEqual([]); // it is still there
});
