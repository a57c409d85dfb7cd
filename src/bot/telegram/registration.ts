/**
 * The menu of commands in Telegram's clients, by language: for everybody in private chats and groups, with /rules for
 * the admins of groups, and with the commands of Kinora's admins in their private chats. Sent only where it differs. A
 * command that is not in a menu can still be written: handlers decide who may use it.
 */
import type { BotCommand, BotCommandScope } from 'telegraf/types';
import type { Logger } from '../../log.ts';
import { locales } from '../sentences/catalogue.ts';
import { CallError, type TelegramApi } from './api.ts';

/** English is also the menu of every other language. */
const languages = [
  { code: undefined, say: locales.en },
  { code: 'zh', say: locales.zh },
] as const;

export async function updateMenus(
  api: TelegramApi,
  adminUserIds: readonly (number | string)[],
  log: Logger,
): Promise<void> {
  const everybody: BotCommandScope[] = [{ type: 'all_private_chats' }, { type: 'all_group_chats' }];
  for (const { code, say } of languages) {
    const common = menuOf(say.commands);
    for (const scope of everybody) await update(api, scope, code, common, log);
    const rules = { command: 'rules', description: say.rulesCommand };
    await update(api, { type: 'all_chat_administrators' }, code, [...common, rules], log);
    const all = [...common, ...menuOf(say.admin.commands)];
    for (const id of adminUserIds) await update(api, { type: 'chat', chat_id: Number(id) }, code, all, log);
  }
}

function menuOf(commands: Readonly<Record<string, string>>): BotCommand[] {
  return Object.entries(commands).map(([command, description]) => ({ command, description }));
}

async function update(
  api: TelegramApi,
  scope: BotCommandScope,
  code: string | undefined,
  commands: BotCommand[],
  log: Logger,
): Promise<void> {
  const where = { scope, ...(code === undefined ? {} : { language_code: code }) };
  try {
    const present = await api.callWithRetries('getMyCommands', where);
    const isSame =
      present.length === commands.length &&
      commands.every(({ command, description }, at) => {
        const there = present[at];
        return there?.command === command && there.description === description;
      });
    if (!isSame) await api.callWithRetries('setMyCommands', { ...where, commands });
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    // An admin who never wrote to the bot has no chat with it yet.
    log.debug({ err: error.message, scope: scope.type }, 'a menu of commands was not set');
  }
}
