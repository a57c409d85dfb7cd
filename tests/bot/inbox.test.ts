import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { InboxPlatform } from '../../src/bot/inbox.ts';
import { DeliveryWorker } from '../../src/bot/upkeep/delivery.ts';
import { pictureBytes, Talk } from '../helpers/conversation-fixture.ts';
import { eventually, log, timedGenerator } from '../helpers/queue-harness.ts';

let talk: Talk;
let inbox: InboxPlatform;
let folder: string;
const cleanups: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  talk = await Talk.start();
  folder = join(talk.harness.folder, 'inbox');
  await mkdir(folder);
  inbox = new InboxPlatform(folder, log);
  await inbox.start(talk.services);
  cleanups.push(() => inbox.stop());
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await talk.harness.stop();
});

const names = (): Promise<string[]> => readdir(folder);
const pending = (): Promise<string[]> => talk.harness.server.connect().zrange('t:pending', '0', '-1');

/** Makes what waits, and brings it into the folder. */
async function serve(): Promise<void> {
  const { harness } = talk;
  await harness.worker(timedGenerator(10));
  const delivery = new DeliveryWorker(
    harness.server.patient(),
    harness.artifacts,
    inbox.deliver,
    log,
    {},
    harness.keys,
  );
  await delivery.start();
  cleanups.push(() => delivery.stop());
}

it('a picture whose request was withdrawn, because Redis did not answer, is asked for anew', async () => {
  await writeFile(join(folder, 'cat.jpg'), await pictureBytes());
  await eventually('the request', async () => (await pending()).length === 1);
  const [id = ''] = await pending();
  const ask = (await talk.harness.server.connect().hget(`t:job:${id}`, 'ask')) ?? '';
  expect(await talk.client.ledger.withdraw(id, ask, Date.now(), 60)).toBe(true);
  await eventually('another request', async () => (await pending()).length === 1);
  expect(await pending()).toEqual([`${id}-2`]);
  await serve();
  await eventually('the video', async () => (await names()).includes('cat.mp4'));
  expect(await readFile(join(folder, 'cat.mp4'), 'utf8')).toBe(`video of ${id}-2`);
});

it('a picture that comes while Redis is away waits for it, and gets no sentence that would keep it out', async () => {
  talk.harness.server.process.kill('SIGSTOP');
  await writeFile(join(folder, 'cat.jpg'), await pictureBytes());
  await new Promise((resolve) => setTimeout(resolve, 5_000)); // longer than a question to Redis may take
  expect(await names()).toEqual(['cat.jpg']);
  talk.harness.server.process.kill('SIGCONT');
  await serve();
  await eventually('the video', async () => (await names()).includes('cat.mp4'));
  expect((await names()).sort()).toEqual(['cat.jpg', 'cat.mp4']);
}, 40_000);
