/** One message: what people see now, and every state it had before. */
import {
  type APIAttachment,
  type APIMessage,
  type APIUser,
  ComponentType,
  MessageFlags,
  MessageType,
} from 'discord.js';
import type { FakeChannel } from './channel.ts';
import { type Component, flatten, mediaOf, resolved, type TopLevelComponent } from './components.ts';
import type { StoredFile } from './files.ts';
import type { Embed } from './message-body.ts';
import { snowflake } from './snowflake.ts';

/** How the state came to be: "webhook" by an interaction token, "bot" by the bot's token, "user" by a person. */
export type Via = 'user' | 'bot' | 'webhook';

export interface Version {
  readonly at: number;
  readonly via: Via;
  readonly content: string;
  readonly embeds: readonly Embed[];
  readonly components: readonly TopLevelComponent[];
  readonly attachments: readonly StoredFile[];
  readonly flags: number;
  /** Whom the words of this state address: user and role ids, "everyone", "here". */
  readonly pings: readonly string[];
}

export interface Pressable {
  readonly customId: string;
  readonly label: string;
  readonly type: ComponentType;
  readonly disabled: boolean;
}

export interface Origin {
  readonly author: APIUser;
  /** The only person who sees it. */
  readonly onlyFor?: string;
  readonly repliesTo?: FakeMessage;
  readonly nonce?: string | number;
  /** The message that it passes on. */
  readonly forwards?: FakeMessage;
  /** What the answer of an interaction tells about the interaction. */
  readonly interaction?: { readonly id: string; readonly type: number; readonly user: APIUser };
}

export type MessageJson = Omit<
  APIMessage,
  'embeds' | 'components' | 'interaction_metadata' | 'message_snapshots' | 'referenced_message'
> & {
  readonly message_snapshots?: readonly { readonly message: MessageJson }[];
  readonly embeds: readonly Embed[];
  readonly components: readonly TopLevelComponent[];
  readonly guild_id?: string;
  readonly interaction_metadata?: object;
  readonly referenced_message?: object;
};

export class FakeMessage {
  readonly id = snowflake();
  readonly channel: FakeChannel;
  readonly origin: Origin;
  readonly history: Version[] = [];
  deleted = false;

  constructor(channel: FakeChannel, origin: Origin) {
    this.channel = channel;
    this.origin = origin;
  }

  get present(): Version {
    const version = this.history.at(-1);
    if (!version) throw new Error('a message without any state');
    return version;
  }

  get content(): string {
    return this.present.content;
  }

  get embeds(): readonly Embed[] {
    return this.present.embeds;
  }

  get attachments(): readonly StoredFile[] {
    return this.present.attachments;
  }

  get pings(): readonly string[] {
    return this.present.pings;
  }

  get edits(): number {
    return this.history.length - 1;
  }

  get ephemeral(): boolean {
    return this.origin.onlyFor !== undefined;
  }

  /** "Kinora is thinking…" */
  get loading(): boolean {
    return (this.present.flags & MessageFlags.Loading) !== 0;
  }

  /** All words a person reads in it: content, embeds, text components. */
  get text(): string {
    const inEmbeds = this.embeds.flatMap(({ title, description, fields = [], author, footer }) => [
      author?.name,
      title,
      description,
      ...fields.flatMap(({ name, value }) => [name, value]),
      footer?.text,
    ]);
    const inComponents = flatten(this.present.components).map((part) =>
      'content' in part ? part.content : '',
    );
    return [this.content, ...inEmbeds, ...inComponents].filter(Boolean).join('\n');
  }

  /** Buttons and menus. */
  get pressables(): Pressable[] {
    return flatten(this.present.components).flatMap((part: Component) => {
      if (!('custom_id' in part) || part.custom_id === undefined) return [];
      const label = part.type === ComponentType.Button ? (part.label ?? part.emoji?.name ?? '') : '';
      return [{ customId: part.custom_id, label, type: part.type, disabled: part.disabled === true }];
    });
  }

  toJson(attachment: (file: StoredFile) => APIAttachment): MessageJson {
    const { content, embeds, components, attachments, flags, pings } = this.present;
    const { author, repliesTo, nonce, interaction, forwards } = this.origin;
    const { guild } = this.channel;
    const first = this.history[0];
    // What components show is not listed again.
    const shown = attachments.map(attachment);
    const used = new Set(mediaOf(components).map(({ url }) => url.replace('attachment://', '')));
    return {
      id: this.id,
      channel_id: this.channel.id,
      ...(guild && { guild_id: guild.id }),
      type: repliesTo ? MessageType.Reply : interaction ? MessageType.ChatInputCommand : MessageType.Default,
      author,
      content,
      timestamp: new Date(first?.at ?? 0).toISOString(),
      edited_timestamp: this.edits > 0 ? new Date(this.present.at).toISOString() : null,
      tts: false,
      mention_everyone: pings.includes('everyone') || pings.includes('here'),
      mentions: [],
      mention_roles: [],
      attachments: shown.filter(({ filename }) => !used.has(filename)),
      embeds,
      components: components.map((component) => resolved(component, shown)),
      pinned: false,
      flags,
      ...(nonce !== undefined && { nonce }),
      ...(repliesTo && { message_reference: { message_id: repliesTo.id, channel_id: repliesTo.channel.id } }),
      ...(forwards && {
        message_reference: { type: 1, message_id: forwards.id, channel_id: forwards.channel.id },
        message_snapshots: [{ message: forwards.toJson(attachment) }],
      }),
      ...(interaction && {
        interaction_metadata: { ...interaction, authorizing_integration_owners: {} },
        application_id: author.id,
        webhook_id: author.id,
      }),
    };
  }
}
