/** A Bot API server of the owner's, run with --local: higher limits, and files on this machine. */
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, type onTestFinished } from 'vitest';
import { startFakeTelegram } from '../../fakes/telegram/server.ts';
import { photo, telegramWorld } from '../../helpers/telegram-world.ts';

async function localWorld(test: { readonly onTestFinished: typeof onTestFinished }) {
  const localFolder = await mkdtemp(join(tmpdir(), 'kinora-bot-api-'));
  test.onTestFinished(() => rm(localFolder, { recursive: true }));
  const fake = await startFakeTelegram({ localFolder });
  return { localFolder, world: await telegramWorld(test, { isLocalServer: true }, fake) };
}

it('gives pictures above 20 MB from its folder, and takes videos up to 2 GB', async (test) => {
  const { world } = await localWorld(test);
  const { fake } = world;
  const chat = fake.privateChat();
  const large = Buffer.concat([await photo(), Buffer.alloc(21_000_000)]);
  chat.sendsDocument({ name: 'large.jpg', bytes: large, mimeType: 'image/jpeg' }, '/animate waves');
  await fake.until(() => world.videos(chat).length === 1);
  expect(fake.calls('file')).toEqual([]);
  expect(world.runs[0]?.request.generation.maxBytes).toBe(2_000_000_000 * 0.95);
});

it('cannot lead to what is no plain file', async (test) => {
  const { world, localFolder } = await localWorld(test);
  const { fake } = world;
  const secret = join(localFolder, 'secret.jpg');
  await writeFile(secret, await photo());
  const link = join(localFolder, 'link.jpg');
  await symlink(secret, link);
  const chat = fake.privateChat();
  for (const path of [link, localFolder, '/dev/zero', join(localFolder, 'none.jpg')]) {
    const file_path = { ok: true, result: { file_id: 'x', file_unique_id: 'y', file_path: path } };
    fake.fail({ method: 'getFile', status: 200, body: Buffer.from(JSON.stringify(file_path)), times: 2 });
    const before = fake.answers(chat).length;
    await chat.sendsPhoto(await photo(), '/animate waves');
    await fake.until(
      () => fake.answers(chat).length > before && /could not be fetched/.test(world.last(chat)?.text ?? ''),
    );
  }
});

it('is asked for its own limits alone', async (test) => {
  const fake = await startFakeTelegram({ localFolder: '/nowhere' });
  const world = await telegramWorld(test, {}, fake);
  const chat = fake.privateChat();
  const path = join(world.folder, 'x.jpg');
  await writeFile(path, await photo());
  const file_path = { ok: true, result: { file_id: 'x', file_unique_id: 'y', file_path: path } };
  fake.fail({ method: 'getFile', status: 200, body: Buffer.from(JSON.stringify(file_path)), times: 2 });
  await chat.sendsPhoto(await photo(), '/animate waves');
  await fake.until(() => /could not be fetched/.test(world.last(chat)?.text ?? ''));
});
