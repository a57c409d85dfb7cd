/** Routes of channel messages, with the bot's own token and permissions. */
import { PermissionFlagsBits as Can, RESTJSONErrorCodes as Code } from 'discord.js';
import {
  ApiError,
  missingAccess,
  missingPermissions,
  parseForm,
  unknownChannel,
  unknownMessage,
} from './api-error.ts';
import type { FakeChannel } from './channel.ts';
import type { Reply, Request, Route } from './http.ts';
import { defaultUploadLimitBytes } from './interaction.ts';
import type { FakeMessage } from './message.ts';
import { messageBody } from './message-body.ts';
import { edit, post, referenced, remove } from './posting.ts';
import type { World } from './world.ts';

/** "The past few minutes", in Discord's words. */
const nonceMemoryMs = 3 * 60_000;

export function messageRoutes(world: World): Route[] {
  const route = (method: string, template: string, handle: (request: Request) => Reply): Route => ({
    method,
    template,
    auth: 'bot',
    handle,
  });
  const shown = (message: FakeMessage): Reply => ({
    status: 200,
    json: world.asBotSees(message),
  });

  const channelOf = (request: Request): FakeChannel => {
    const channel = world.channels.get(request.param('channel'));
    if (!channel || channel.deleted) throw unknownChannel();
    if (!channel.botIsHere || !(channel.botPermissions & Can.ViewChannel)) throw missingAccess();
    return channel;
  };
  /** An ephemeral message does not exist for the bot's own token. */
  const messageOf = (request: Request): FakeMessage => {
    const message = channelOf(request).messages.get(request.param('message'));
    if (!message || message.deleted || message.ephemeral) throw unknownMessage();
    return message;
  };
  const uploads = ({ files }: Request, { guild }: FakeChannel) => ({
    files,
    limitBytes: guild?.uploadLimitBytes || defaultUploadLimitBytes,
  });
  const demand = (channel: FakeChannel, ...permissions: bigint[]): void => {
    if (permissions.some((permission) => !(channel.botPermissions & permission))) throw missingPermissions();
  };
  const isOwn = (message: FakeMessage): boolean => message.origin.author.id === world.bot.id;

  return [
    route('POST', '/channels/:channel/messages', (request) => {
      const channel = channelOf(request);
      demand(channel, Can.SendMessages);
      if (request.files.size > 0) demand(channel, Can.AttachFiles);
      if (channel.people.some(({ takesDms }) => !takesDms))
        throw new ApiError(403, Code.CannotSendMessagesToThisUser, 'Cannot send messages to this user');
      const body = parseForm(messageBody, request.json ?? {});
      if (body.message_reference && !(channel.botPermissions & Can.ReadMessageHistory))
        throw new ApiError(
          403,
          Code.CannotReplyWithoutPermissionToReadMessageHistory,
          'Cannot reply without permission to read message history',
        );
      const repliesTo = referenced(body, channel);
      const twin = [...channel.messages.values()].find(
        (message) =>
          body.enforce_nonce &&
          isOwn(message) &&
          message.origin.nonce === body.nonce &&
          Date.now() - (message.history[0]?.at ?? 0) < nonceMemoryMs,
      );
      if (twin) return shown(twin);
      const origin = {
        author: world.bot,
        ...(repliesTo && { repliesTo }),
        ...(body.nonce !== undefined && body.nonce !== null && { nonce: body.nonce }),
      };
      return shown(post(channel, origin, body, { via: 'bot', uploads: uploads(request, channel) }));
    }),
    route('GET', '/channels/:channel/messages', (request) => {
      const channel = channelOf(request);
      const latest = channel.botPermissions & Can.ReadMessageHistory ? channel.visible.toReversed() : [];
      const limited = latest.slice(0, Number(request.query.get('limit') ?? 50));
      return { status: 200, json: limited.map((message) => shown(message).json) };
    }),
    route('GET', '/channels/:channel/messages/:message', (request) => {
      demand(channelOf(request), Can.ReadMessageHistory);
      return shown(messageOf(request));
    }),
    route('PATCH', '/channels/:channel/messages/:message', (request) => {
      const message = messageOf(request);
      if (!isOwn(message))
        throw new ApiError(
          403,
          Code.CannotEditMessageAuthoredByAnotherUser,
          'Cannot edit a message authored by another user',
        );
      if (request.files.size > 0) demand(message.channel, Can.AttachFiles);
      edit(message, parseForm(messageBody, request.json ?? {}), 'bot', uploads(request, message.channel));
      return shown(message);
    }),
    route('DELETE', '/channels/:channel/messages/:message', (request) => {
      const message = messageOf(request);
      if (!isOwn(message)) demand(message.channel, Can.ManageMessages);
      remove(message);
      return { status: 204 };
    }),
    route('POST', '/channels/:channel/typing', (request) => {
      demand(channelOf(request), Can.SendMessages);
      return { status: 204 };
    }),
  ];
}
