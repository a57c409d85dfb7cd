/** Pictures of people who may not ask cost nothing. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { AuditTrail } from '../../src/queue/audit.ts';
import { Bans } from '../../src/queue/bans.ts';
import { Keys } from '../../src/queue/keys.ts';
import type { BotProcessSettings } from '../helpers/bot-process.ts';
import { telegramWorld } from '../helpers/telegram-world.ts';

const script = fileURLToPath(new URL('../helpers/bot-process.ts', import.meta.url));
const picture = new URL('../fixtures/pictures/flat-40-megapixels.jpg', import.meta.url);
const most = 150 * 1024;

it('thirty large pictures of a banned person at once leave the bot as it was', async (test) => {
  const world = await telegramWorld(test);
  await world.stopBot();
  const { fake, redis, folder, ffmpegPath } = world;
  const { token, apiRoot: server } = fake;
  const { address } = redis;
  const settings: BotProcessSettings = {
    ...{ platform: 'telegram', token, server, address },
    ...{ dataFolder: folder, folder, ffmpegPath },
  };
  const bot = spawn(process.execPath, ['--import', 'tsx', script, JSON.stringify(settings)], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  test.onTestFinished(() => void bot.kill('SIGKILL'));
  await once(bot.stdout, 'data');
  const kilobytes = async (what: 'VmRSS' | 'VmHWM'): Promise<number> =>
    Number(new RegExp(`${what}:\\s+(\\d+)`).exec(await readFile(`/proc/${bot.pid}/status`, 'utf8'))?.[1]);

  const chat = fake.privateChat();
  const bans = new Bans(new AuditTrail(redis.failFast(), new Keys()));
  await bans.ban('test:root', { kind: 'user', key: `telegram:${chat.id}` }, { reason: 'spam' });
  const bytes = await readFile(picture);
  const file = { name: 'large.jpg', bytes, mimeType: 'image/jpeg' };
  chat.sendsDocument(file, 'waves');
  const refused = (): number => fake.answers(chat).filter(({ text }) => text?.includes('spam')).length;
  await fake.until(() => refused() === 1, 60_000);
  const before = await kilobytes('VmRSS');
  await writeFile(`/proc/${bot.pid}/clear_refs`, '5'); // the peak begins anew
  for (let n = 0; n < 30; n += 1) chat.sendsDocument(file, 'waves');
  await fake.until(() => refused() === 31, 60_000);
  expect((await kilobytes('VmHWM')) - before).toBeLessThan(most);
  expect(await readdir(join(folder, 'jobs')).catch(() => [])).toEqual([]);
}, 180_000);
