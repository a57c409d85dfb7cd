/** How a body becomes a state of a message: what stays, what changes, which files belong to it, whom it addresses. */
import { RESTJSONErrorCodes as Code, GatewayIntentBits as Intent, MessageFlags } from 'discord.js';
import { ApiError, emptyMessage, invalidForm, tooLarge } from './api-error.ts';
import type { FakeChannel } from './channel.ts';
import { flatten, mediaOf } from './components.ts';
import type { FakeFile, StoredFile } from './files.ts';
import { FakeMessage, type Origin, type Version, type Via } from './message.ts';
import type { AllowedMentions, MessageBody } from './message-body.ts';

export interface Uploads {
  /** By the n of files[n]. */
  readonly files: ReadonlyMap<string, FakeFile>;
  readonly limitBytes: number;
}
export const noUploads: Uploads = { files: new Map(), limitBytes: 0 };

const settableFlags =
  MessageFlags.SuppressEmbeds | MessageFlags.SuppressNotifications | MessageFlags.IsComponentsV2;
const maxV2Components = 40;
const maxV2Text = 4000;

export function post(
  channel: FakeChannel,
  origin: Origin,
  body: MessageBody,
  { via, uploads, flags = 0 }: { via: Via; uploads: Uploads; flags?: number },
): FakeMessage {
  const message = new FakeMessage(channel, origin);
  const kept = (body.flags ?? 0) & settableFlags;
  const ephemeral = message.ephemeral ? MessageFlags.Ephemeral : 0;
  message.history.push(nextVersion(message, body, { via, uploads, flags: flags | kept | ephemeral }));
  channel.messages.set(message.id, message);
  channel.world.diary.push({ kind: 'message', channel, message });
  announce('MESSAGE_CREATE', message);
  return message;
}

export function edit(message: FakeMessage, body: MessageBody, via: Via, uploads: Uploads): void {
  const { flags } = message.present;
  const becomesV2 = (body.flags ?? 0) & MessageFlags.IsComponentsV2;
  const next = nextVersion(message, body, {
    via,
    uploads,
    flags: (flags & ~MessageFlags.Loading) | becomesV2,
  });
  message.history.push(next);
  announce('MESSAGE_UPDATE', message);
}

export function remove(message: FakeMessage): void {
  message.deleted = true;
  announce('MESSAGE_DELETE', message);
}

function announce(event: string, message: FakeMessage): void {
  const { channel } = message;
  if (message.ephemeral || !channel.botIsHere) return;
  const { world, guild } = channel;
  const json =
    event === 'MESSAGE_DELETE'
      ? { id: message.id, channel_id: channel.id, ...(guild && { guild_id: guild.id }) }
      : world.asBotSees(message);
  world.emit(event, json, guild ? Intent.GuildMessages : Intent.DirectMessages);
}

function nextVersion(
  message: FakeMessage,
  body: MessageBody,
  { via, uploads, flags }: { via: Via; uploads: Uploads; flags: number },
): Version {
  const before = message.history.at(-1);
  const content = body.content === undefined ? (before?.content ?? '') : (body.content ?? '');
  const version: Version = {
    at: Date.now(),
    via,
    content,
    embeds: body.embeds === undefined ? (before?.embeds ?? []) : (body.embeds ?? []),
    components: body.components === undefined ? (before?.components ?? []) : (body.components ?? []),
    attachments: attachmentsAfter(message, body, uploads),
    flags,
    pings:
      body.content === undefined && before
        ? before.pings
        : pingsIn(content, body.allowed_mentions ?? undefined, message),
  };
  if (!(flags & MessageFlags.Loading)) assertShowable(version, message.origin);
  return version;
}

function assertShowable(
  { content, embeds, components, attachments, flags }: Version,
  { forwards }: Origin,
): void {
  const all = flatten(components);
  if (flags & MessageFlags.IsComponentsV2) {
    if (content || embeds.length > 0)
      throw invalidForm(
        ['content'],
        "The 'content' and 'embeds' fields cannot be used with MessageFlags.IS_COMPONENTS_V2",
      );
    if (all.length > maxV2Components)
      throw invalidForm(['components'], `At most ${maxV2Components} components.`);
    const text = all.map((part) => ('content' in part ? part.content : '')).join('');
    if (text.length > maxV2Text)
      throw invalidForm(['components'], `At most ${maxV2Text} characters of text.`);
  } else {
    if (components.some(({ type }) => type !== 1))
      throw invalidForm(['components'], 'Only action rows without MessageFlags.IS_COMPONENTS_V2');
    if (components.length > 5) throw invalidForm(['components'], 'Must be 5 or fewer in length.');
  }
  const names = new Set(attachments.map(({ name }) => name));
  const embedded = embeds.flatMap(({ image, thumbnail }) => [image?.url, thumbnail?.url]);
  const shown = mediaOf(components).map(({ url }) => url);
  for (const url of [...embedded, ...shown])
    if (url?.startsWith('attachment://') && !names.has(url.slice('attachment://'.length)))
      throw invalidForm(['attachments'], `No attachment for ${url}`);
  if (!content && !forwards && [...embeds, ...components, ...attachments].length === 0) throw emptyMessage();
}

/** Entries whose id is the n of files[n] are new, other ids are kept, what is not named goes. */
function attachmentsAfter(
  message: FakeMessage,
  body: MessageBody,
  { files, limitBytes }: Uploads,
): StoredFile[] {
  for (const { bytes } of files.values()) if (bytes.byteLength > limitBytes) throw tooLarge();
  const before = message.history.at(-1)?.attachments ?? [];
  const place = { channelId: message.channel.id, ephemeral: message.ephemeral };
  const { files: store } = message.channel.world;
  if (body.attachments === undefined || body.attachments === null) {
    const kept = body.attachments === null ? [] : before;
    return [...kept, ...[...files.values()].map((file) => store.store(file, place))];
  }
  const unnamed = [...files.keys()].find((n) => !body.attachments?.some(({ id }) => id === n));
  if (unnamed !== undefined)
    throw invalidForm(['attachments'], `files[${unnamed}] is in no entry of attachments`);
  return body.attachments.map(({ id, filename, description }, index) => {
    const file = files.get(id);
    if (file)
      return store.store(
        { ...file, name: filename ?? file.name },
        { ...place, description: description ?? undefined },
      );
    const kept = before.find((each) => each.id === id);
    if (!kept) throw invalidForm(['attachments', index, 'id'], 'Unknown attachment');
    return kept;
  });
}

/** Without allowed_mentions everything in the words addresses somebody, in edits too. */
function pingsIn(
  content: string,
  allowed: AllowedMentions | undefined,
  { origin, channel }: FakeMessage,
): string[] {
  const parse = allowed ? (allowed.parse ?? []) : ['users', 'roles', 'everyone'];
  const found = (pattern: RegExp): string[] => [...content.matchAll(pattern)].map(([, id = '']) => id);
  const users = found(/<@!?(\d+)>/g).filter((id) => parse.includes('users') || allowed?.users?.includes(id));
  const roles = found(/<@&(\d+)>/g).filter((id) => parse.includes('roles') || allowed?.roles?.includes(id));
  const everyone = channel.guild && parse.includes('everyone') ? found(/@(everyone|here)/g) : [];
  const replied =
    origin.repliesTo && (allowed?.replied_user ?? !allowed) ? [origin.repliesTo.origin.author.id] : [];
  return [...new Set([...users, ...roles, ...everyone, ...replied])];
}

/** The message replied to; undefined when it is gone and the bot said that this is fine. */
export function referenced(
  { message_reference: reference }: MessageBody,
  channel: FakeChannel,
): FakeMessage | undefined {
  if (!reference?.message_id) return undefined;
  const target = channel.messages.get(reference.message_id);
  if (target && !target.deleted && !target.ephemeral) return target;
  if (reference.fail_if_not_exists === false) return undefined;
  throw new ApiError(400, Code.InvalidFormBodyOrContentType, 'Invalid Form Body', {
    message_reference: { _errors: [{ code: 'REPLIES_UNKNOWN_MESSAGE', message: 'Unknown message' }] },
  });
}
