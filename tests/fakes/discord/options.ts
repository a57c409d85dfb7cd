/** What a person fills into a command's options, checked as the person's client checks it before it sends anything. */
import { ApplicationCommandOptionType as Option } from 'discord.js';
import type { FakeChannel } from './channel.ts';
import type { LeafOption } from './command-body.ts';
import type { FakeFile } from './files.ts';
import type { FakeUser } from './people.ts';
import type { FakeRole } from './role.ts';

export type OptionValue = string | number | boolean | FakeFile | FakeUser | FakeRole | FakeChannel;
export type OptionValues = Readonly<Record<string, OptionValue | undefined>>;

interface SentOption {
  readonly name: string;
  readonly type: Option;
  readonly value: string | number | boolean;
  readonly focused?: true;
}
type Resolved = Readonly<
  Record<'attachments' | 'users' | 'members' | 'roles' | 'channels', Record<string, unknown>>
>;

export interface Filled {
  readonly sent: readonly SentOption[];
  readonly resolved: Partial<Resolved>;
  /** As the person typed it. */
  readonly text: string;
}

/** @throws when the client would not let it through */
export function fillOptions(
  definitions: readonly LeafOption[],
  values: OptionValues,
  channel: FakeChannel,
  focused?: string,
): Filled {
  const unknown = Object.keys(values).find((name) => !definitions.some((option) => option.name === name));
  if (unknown !== undefined) throw new Error(`The command has no option "${unknown}".`);
  const resolved: Resolved = { attachments: {}, users: {}, members: {}, roles: {}, channels: {} };
  const sent: SentOption[] = [];
  const words: string[] = [];
  for (const option of definitions) {
    const value = values[option.name];
    if (value === undefined) {
      if (option.required && focused === undefined)
        throw new Error(`The option "${option.name}" is required.`);
      continue;
    }
    const isFocused = option.name === focused;
    const { plain, shown } = resolve(option, value, channel, resolved);
    if (!isFocused) assertAllowed(option, plain);
    sent.push({ name: option.name, type: option.type, value: plain, ...(isFocused && { focused: true }) });
    words.push(`${option.name}:${shown}`);
  }
  return { sent, resolved: withoutEmpty(resolved), text: words.join(' ') };
}

function resolve(
  { name, type }: LeafOption,
  value: OptionValue,
  channel: FakeChannel,
  { attachments, users, members, roles, channels }: Resolved,
): { plain: string | number | boolean; shown: string } {
  const { world, guild } = channel;
  const wrong = new Error(`The option "${name}" (${Option[type]}) does not take what was given.`);
  if (typeof value !== 'object') {
    const expected = type === Option.Boolean ? 'boolean' : type === Option.String ? 'string' : 'number';
    if (typeof value !== expected) throw wrong;
    return { plain: value, shown: typeof value === 'string' ? JSON.stringify(value) : String(value) };
  }
  if ('bytes' in value) {
    if (type !== Option.Attachment) throw wrong;
    const file = world.files.store(value, { channelId: channel.id, ephemeral: true });
    attachments[file.id] = world.files.attachment(file);
    return { plain: file.id, shown: file.name };
  }
  if (value.kind === 'user') {
    if (type !== Option.User && type !== Option.Mentionable) throw wrong;
    users[value.id] = value.api;
    if (guild) {
      const { user: _, deaf: __, mute: ___, ...member } = guild.memberJson(value);
      members[value.id] = { ...member, permissions: String(guild.permissionsOf(value)) };
    }
    return { plain: value.id, shown: `@${value.name}` };
  }
  if (value.kind === 'role') {
    if (type !== Option.Role && type !== Option.Mentionable) throw wrong;
    roles[value.id] = value.toJson();
    return { plain: value.id, shown: `@${value.name}` };
  }
  if (type !== Option.Channel) throw wrong;
  channels[value.id] = { ...value.toJson(), permissions: '0' };
  return { plain: value.id, shown: `#${value.name}` };
}

function assertAllowed(option: LeafOption, value: string | number | boolean): void {
  const refuse = (rule: string): never => {
    throw new Error(`The option "${option.name}" must be ${rule}; it is ${JSON.stringify(value)}.`);
  };
  const {
    choices = [],
    min_length = 0,
    max_length = 6000,
    min_value = -Infinity,
    max_value = Infinity,
  } = option;
  if (choices.length > 0 && !choices.some((choice) => choice.value === value))
    refuse(`one of ${choices.map((choice) => choice.value).join(', ')}`);
  if (typeof value === 'string' && option.type === Option.String)
    if (value.length < min_length || value.length > max_length)
      refuse(`${min_length} to ${max_length} characters`);
  if (typeof value === 'number') {
    if (value < min_value || value > max_value) refuse(`${min_value} to ${max_value}`);
    if (option.type === Option.Integer && !Number.isInteger(value)) refuse('a whole number');
  }
}

function withoutEmpty(resolved: Resolved): Partial<Resolved> {
  return Object.fromEntries(Object.entries(resolved).filter(([, found]) => Object.keys(found).length > 0));
}
