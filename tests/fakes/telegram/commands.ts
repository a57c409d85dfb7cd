/** The menu of commands, by scope and language. */
import { z } from 'zod';
import { badRequest } from './api-error.ts';
import type { FakeChat } from './chat.ts';
import type { Params } from './params.ts';
import type { FakeUser } from './people.ts';

const chatId = z.union([z.number(), z.string()]).transform(Number);
const scopeSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('default') }),
  z.object({ type: z.literal('all_private_chats') }),
  z.object({ type: z.literal('all_group_chats') }),
  z.object({ type: z.literal('all_chat_administrators') }),
  z.object({ type: z.literal('chat'), chat_id: chatId }),
  z.object({ type: z.literal('chat_administrators'), chat_id: chatId }),
  z.object({ type: z.literal('chat_member'), chat_id: chatId, user_id: z.number() }),
]);
type Scope = z.output<typeof scopeSchema>;

const commandsSchema = z.array(z.object({ command: z.string(), description: z.string() }));
export type MenuCommand = z.output<typeof commandsSchema>[number];

const maxCommands = 100;

export class CommandRegistry {
  readonly #menus = new Map<string, readonly MenuCommand[]>();

  set(params: Params): true {
    const commands = params.object('commands', commandsSchema, 'bot command') ?? [];
    if (commands.length > maxCommands) throw badRequest('BOT_COMMANDS_TOO_MUCH');
    for (const { command, description } of commands) {
      if (!/^\/?[a-z0-9_]{1,32}$/.test(command)) throw badRequest('BOT_COMMAND_INVALID');
      if (description.length < 1 || description.length > 256)
        throw badRequest('BOT_COMMAND_DESCRIPTION_INVALID');
    }
    this.#menus.set(
      readKey(params),
      commands.map(({ command, ...rest }) => ({ command: command.replace('/', ''), ...rest })),
    );
    return true;
  }

  get(params: Params): readonly MenuCommand[] {
    return this.#menus.get(readKey(params)) ?? [];
  }

  delete(params: Params): true {
    this.#menus.delete(readKey(params));
    return true;
  }

  /** What the person's client offers there: the narrowest scope, in the person's language before all languages. */
  menu(chat: FakeChat, user: FakeUser): readonly MenuCommand[] {
    const { id } = chat;
    const admin = ['administrator', 'creator'].includes(chat.members.get(user.id)?.status ?? '');
    const admins: Scope[] = admin ? [{ type: 'chat_administrators', chat_id: id }] : [];
    const allAdmins: Scope[] = admin ? [{ type: 'all_chat_administrators' }] : [];
    const scopes: Scope[] = chat.isPrivate
      ? [{ type: 'chat', chat_id: id }, { type: 'all_private_chats' }]
      : [
          { type: 'chat_member', chat_id: id, user_id: user.id },
          ...admins,
          { type: 'chat', chat_id: id },
          ...allAdmins,
          { type: 'all_group_chats' },
        ];
    const language = user.api.language_code?.slice(0, 2) ?? '';
    const keys = [...scopes, { type: 'default' } as const].flatMap((scope) => [
      keyOf(scope, language),
      keyOf(scope, ''),
    ]);
    const key = keys.find((each) => (this.#menus.get(each)?.length ?? 0) > 0);
    return this.#menus.get(key ?? '') ?? [];
  }
}

function readKey(params: Params): string {
  const scope = params.object('scope', scopeSchema, 'BotCommandScope') ?? { type: 'default' };
  const language = params.text('language_code') ?? '';
  if (language !== '' && !/^[a-z]{2}$/.test(language)) throw badRequest('invalid language code specified');
  return keyOf(scope, language);
}

function keyOf(scope: Scope, language: string): string {
  const place = 'chat_id' in scope ? scope.chat_id : '';
  return [scope.type, place, 'user_id' in scope ? scope.user_id : '', language].join(':');
}
