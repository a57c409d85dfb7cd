/**
 * `npm run demo`: a conversation of several people with Kinora in Discord and Telegram, on this machine and without any
 * token. Everything is the real Kinora, only the two servers are stand-ins. Prints what people see, leaves the videos.
 */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Narrator } from './narrator.ts';
import { cast, play } from './play.ts';
import { Stage } from './stage.ts';

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'out/demo' },
    /** Leaves out what only takes time. */
    short: { type: 'boolean', default: false },
  },
});
const folder = resolve(values.out);
await mkdir(folder, { recursive: true });
// Of the last time. Nothing else is touched.
for (const name of await readdir(folder)) if (/^\d\d\.mp4$/.test(name)) await rm(join(folder, name));

const lines: string[] = [];
const write = (line: string): void => {
  lines.push(line);
  process.stdout.write(`${line}\n`);
};

const startedAt = Date.now();
const stage = await Stage.open();
const interrupted = new Promise<never>((_, reject) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => reject(new Error('Interrupted.')));
  }
});
try {
  const people = cast(stage);
  const admins = {
    discordUserId: people.grace.id,
    discordServerId: people.guild.id,
    telegramUserId: people.olga.id,
  };
  const narrator = new Narrator(stage.discord, stage.telegram, folder, write);
  write(
    'Kinora, its Redis, its worker and the model are real; Discord and Telegram are stand-ins on this machine.',
  );
  const playing = stage
    .start(admins, {
      KINORA_THREADS: process.env['KINORA_THREADS'] ?? '0',
      KINORA_CREDITS_PER_DAY: '3',
      KINORA_COST_HIGH: '2',
    })
    .then(() => play(stage, people, narrator, { isShort: values.short }));
  playing.catch(() => {}); // told below, or over with the interruption
  await Promise.race([playing, interrupted]);
  write('');
  await writeFile(join(folder, 'transcript.txt'), `${lines.join('\n').trim()}\n`);
  const seconds = Math.round((Date.now() - startedAt) / 1000);
  write(
    `${narrator.clips} videos and this transcript are in ${relative(process.cwd(), folder) || folder} (${seconds} s).`,
  );
} catch (error) {
  process.exitCode = 1;
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
} finally {
  await stage.close();
}
// After an interruption the players would go on waiting for each other.
if (process.exitCode) process.exit();
