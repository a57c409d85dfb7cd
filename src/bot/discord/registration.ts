/**
 * Tells Discord about the commands, by bulk overwrite and only when something changed: Discord allows 200 new commands
 * a day. What was registered is remembered in Redis as hashes, for whichever bot leads next.
 */
import { createHash } from 'node:crypto';
import { type REST, type RESTPostAPIApplicationCommandsJSONBody, Routes } from 'discord.js';
import { z } from 'zod';
import type { Logger } from '../../log.ts';
import type { Keys } from '../../queue/keys.ts';
import type { Redis } from '../../queue/redis.ts';
import { readJson, writeJson } from '../../queue/stored-json.ts';
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

/** @returns false when something could not be registered and should be tried again */
export async function registerCommands(options: {
  readonly rest: REST;
  readonly applicationId: string;
  readonly adminServerIds: readonly string[];
  /** Which options of /animate the model heeds; all when absent. */
  readonly offered?: Offered | undefined;
  readonly redis: Redis;
  readonly keys: Keys;
  readonly log: Logger;
}): Promise<boolean> {
  const { rest, applicationId, adminServerIds, offered, redis, keys, log } = options;
  const before = await remembered(redis, keys, applicationId);
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
  const registered: Remembered = { applicationId, everywhere, guilds };
  await redis.set(keys.discordCommands, writeJson(registered)).catch((error: unknown) => {
    log.warn({ err: codeOf(error) }, 'the next start will register the commands again');
  });
  return complete;
}

function hashOf(commands: Commands): string {
  return createHash('sha256').update(JSON.stringify(commands)).digest('hex');
}

/** Nothing at the first start, or without Redis: registering again is harmless. */
async function remembered(redis: Redis, keys: Keys, applicationId: string): Promise<Remembered> {
  const text = await redis.get(keys.discordCommands).catch(() => null);
  const known = readJson(text ?? '', rememberedSchema);
  return known?.applicationId === applicationId ? known : { applicationId, everywhere: '', guilds: {} };
}
