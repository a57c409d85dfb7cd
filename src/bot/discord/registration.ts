/**
 * Tells Discord about the commands, by bulk overwrite and only when something changed: Discord allows 200 new commands
 * a day. What was registered is remembered in a file as a hash.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type REST, type RESTPostAPIApplicationCommandsJSONBody, Routes } from 'discord.js';
import { z } from 'zod';
import { replaceFile } from '../../atomic-file.ts';
import type { Logger } from '../../log.ts';
import type { Offered } from '../sentences/en.ts';
import { codeOf } from './api.ts';
import { adminCommands, publicCommands } from './command-definitions.ts';

const rememberedSchema = z.object({
  applicationId: z.string(),
  everywhere: z.string(),
  guilds: z.record(z.string(), z.string()),
});
type Remembered = z.infer<typeof rememberedSchema>;

type Commands = readonly RESTPostAPIApplicationCommandsJSONBody[];

/**
 * @param file without it everything is registered at every start
 * @returns false when something could not be registered and should be tried again
 */
export async function registerCommands(options: {
  readonly rest: REST;
  readonly applicationId: string;
  readonly adminServerIds: readonly string[];
  /** Which options of /animate the model heeds; all when absent. */
  readonly offered?: Offered | undefined;
  readonly file: string | undefined;
  readonly log: Logger;
}): Promise<boolean> {
  const { rest, applicationId, adminServerIds, offered, file, log } = options;
  const before = await remembered(file, applicationId);
  const guilds: Record<string, string> = {};
  let { everywhere } = before;
  let complete = true;

  const put = async (route: `/${string}`, commands: Commands, where: string): Promise<boolean> => {
    try {
      await rest.put(route, { body: commands });
      log.info({ where, commands: commands.length }, 'commands registered');
      return true;
    } catch (error) {
      log.warn({ where, err: codeOf(error) }, 'commands could not be registered');
      complete = false;
      return false;
    }
  };

  const common = publicCommands(offered);
  if (everywhere !== hashOf(common)) {
    const done = await put(Routes.applicationCommands(applicationId), common, 'everywhere');
    if (done) everywhere = hashOf(common);
  }
  // Servers that are no longer the owners' lose the admin commands.
  for (const id of new Set([...adminServerIds, ...Object.keys(before.guilds)])) {
    const commands = adminServerIds.includes(id) ? adminCommands : [];
    const hash = hashOf(commands);
    const known = before.guilds[id];
    const done =
      known === hash || (await put(Routes.applicationGuildCommands(applicationId, id), commands, id));
    if (done && commands.length > 0) guilds[id] = hash;
    else if (!done && known !== undefined) guilds[id] = known;
  }
  await remember(file, { applicationId, everywhere, guilds }, log);
  return complete;
}

function hashOf(commands: Commands): string {
  return createHash('sha256').update(JSON.stringify(commands)).digest('hex');
}

async function remembered(file: string | undefined, applicationId: string): Promise<Remembered> {
  const nothing = { applicationId, everywhere: '', guilds: {} };
  if (file === undefined) return nothing;
  try {
    const parsed = rememberedSchema.parse(JSON.parse(await readFile(file, 'utf8')));
    return parsed.applicationId === applicationId ? parsed : nothing;
  } catch {
    return nothing; // the first start, or a torn file: registering again is harmless
  }
}

async function remember(file: string | undefined, hashes: Remembered, log: Logger): Promise<void> {
  if (file === undefined) return;
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await replaceFile(file, (temporary) => writeFile(temporary, JSON.stringify(hashes)));
  } catch (error) {
    log.warn({ err: codeOf(error) }, 'the next start will register the commands again');
  }
}
