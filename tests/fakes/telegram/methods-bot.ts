/** Methods about the bot itself, its updates, its commands and the chats it is in. */
import { z } from 'zod';
import { badRequest, conflict } from './api-error.ts';
import type { FakeChat, Member } from './chat.ts';
import { type Method, type Methods, type Request, readChat } from './method.ts';
import { tooOld } from './press.ts';

const maxPollSeconds = 50;
const maxUpdates = 100;
const maxAnswerLength = 200;

export const botMethods: Methods = {
  getMe: ({ world }) => world.bot,
  getUpdates: ({ world, params, signal }) => {
    if (world.webhookUrl !== '')
      throw conflict(
        "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
      );
    return world.updates.poll({
      offset: params.integer('offset') ?? 0,
      limit: Math.min(params.integer('limit') || maxUpdates, maxUpdates),
      timeoutMs: Math.min(params.integer('timeout') ?? 0, maxPollSeconds) * 1000,
      allowed: params.object('allowed_updates', z.array(z.string())),
      signal,
    });
  },
  setWebhook: ({ world, params }) => {
    world.webhookUrl = params.text('url') ?? '';
    return true;
  },
  deleteWebhook: ({ world, params }) => {
    world.webhookUrl = '';
    if (params.flag('drop_pending_updates')) world.updates.drop();
    return true;
  },
  getWebhookInfo: ({ world }) => ({
    url: world.webhookUrl,
    has_custom_certificate: false,
    pending_update_count: world.updates.pending.length,
  }),
  getFile: ({ world, params }) => world.files.prepare(params.text('file_id') ?? ''),

  setMyCommands: ({ world, params }) => world.commands.set(params),
  getMyCommands: ({ world, params }) => world.commands.get(params),
  deleteMyCommands: ({ world, params }) => world.commands.delete(params),
  ...profile('Name', 'name', 64),
  ...profile('Description', 'description', 512),
  ...profile('ShortDescription', 'short_description', 120),

  answerCallbackQuery: ({ world, params }) => {
    const press = world.presses.get(params.text('callback_query_id') ?? '');
    if (!press) throw tooOld();
    const text = params.text('text') ?? '';
    if (text.length > maxAnswerLength) throw badRequest('MESSAGE_TOO_LONG');
    press.reply({ text, alert: params.flag('show_alert'), url: params.text('url'), at: Date.now() });
    return true;
  },

  getChat: (request) => readChat(request).api,
  getChatMemberCount: (request) => readChat(request).members.size + 1,
  getChatMember: (request) => {
    const chat = readChat(request);
    const id = request.params.integer('user_id');
    if (id === request.world.bot.id) return { user: request.world.bot, status: chat.bot };
    const member = chat.members.get(id ?? 0);
    if (member) return memberFields(member);
    const user = request.world.users.get(id ?? 0);
    if (!user) throw badRequest('PARTICIPANT_ID_INVALID');
    return { user: user.api, status: 'left' };
  },
  getChatAdministrators: (request) => administrators(readChat(request), request),
  leaveChat: (request) => {
    readChat(request).bot = 'left';
    return true;
  },
};

function administrators(chat: FakeChat, { world }: Request): object[] {
  if (chat.isPrivate) throw badRequest('there are no administrators in the private chat');
  const people = [...chat.members.values()].filter(
    ({ status }) => status === 'administrator' || status === 'creator',
  );
  const bot =
    chat.bot === 'administrator' ? [{ user: world.bot, status: chat.bot, is_anonymous: false }] : [];
  return [...people.map(memberFields), ...bot];
}

function memberFields({ user, status, anonymous }: Member): object {
  const isAdmin = status === 'administrator' || status === 'creator';
  return { user: user.api, status, ...(isAdmin && { is_anonymous: anonymous }) };
}

/** setMyName and getMyName, and their like. */
function profile(what: string, field: string, maxLength: number): Record<string, Method> {
  const key = ({ params }: Request) => `${what}:${params.text('language_code') ?? ''}`;
  return {
    [`setMy${what}`]: (request) => {
      const text = request.params.text(field) ?? '';
      if (text.length > maxLength) throw badRequest(`${field.replace('_', ' ')} is too long`);
      request.world.profile.set(key(request), text);
      return true;
    },
    [`getMy${what}`]: (request) => ({ [field]: request.world.profile.get(key(request)) ?? '' }),
  };
}
