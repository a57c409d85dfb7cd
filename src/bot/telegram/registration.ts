/**
 * The menu of commands in people's clients, by language: for everybody in private chats and groups, with the rules for
 * the admins of groups, and with our admins' own commands in their private chats. Sent only where it differs. It
 * protects nothing.
 */
import type { BotCommand, BotCommandScope } from 'telegraf/types';
import type { Logger } from '../../log.ts';
import { locales, type Messages } from '../sentences/catalogue.ts';
import { type Api, CallError } from './api.ts';
import { adminCommands } from './commands.ts';

/** English also stands for every language that we do not speak. */
const languages = [
  { code: undefined, say: locales.en },
  { code: 'zh', say: locales.zh },
] as const;

export async function updateMenus(
  api: Api,
  adminUserIds: readonly (number | string)[],
  log: Logger,
): Promise<void> {
  const everybody: BotCommandScope[] = [{ type: 'all_private_chats' }, { type: 'all_group_chats' }];
  for (const { code, say } of languages) {
    const common = commonMenu(say);
    for (const scope of everybody) await update(api, scope, code, common, log);
    const rules = { command: 'rules', description: say.rulesCommand };
    await update(api, { type: 'all_chat_administrators' }, code, [...common, rules], log);
    const all = [...common, ...adminMenu(say)];
    for (const id of adminUserIds) await update(api, { type: 'chat', chat_id: Number(id) }, code, all, log);
  }
}

function commonMenu({ commands }: Messages): BotCommand[] {
  return Object.entries(commands).map(([command, description]) => ({ command, description }));
}

/** From the one line that tells admins how to write: "ban USER [HOURS] [REASON]". */
function adminMenu({ admin }: Messages): BotCommand[] {
  const usages = admin.usage.split('·').map((usage) => usage.trim());
  return adminCommands.map((command) => ({
    command,
    description: usages.find((usage) => usage.split(' ')[0] === command) ?? command,
  }));
}

async function update(
  api: Api,
  scope: BotCommandScope,
  code: string | undefined,
  commands: BotCommand[],
  log: Logger,
): Promise<void> {
  const where = { scope, ...(code === undefined ? {} : { language_code: code }) };
  try {
    const present = await api.insist('getMyCommands', where);
    const isSame =
      present.length === commands.length &&
      commands.every(({ command, description }, at) => {
        const there = present[at];
        return there?.command === command && there.description === description;
      });
    if (!isSame) await api.insist('setMyCommands', { ...where, commands });
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    // An admin who never wrote to the bot has no chat with it yet.
    log.debug({ err: error.message, scope: scope.type }, 'a menu of commands was not set');
  }
}
