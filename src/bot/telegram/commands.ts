/** Messages: a picture to animate, a command, the new prompt of a remix, or nothing for the bot. */
import type { Message } from 'telegraf/types';
import { parseWords } from '../../request/options-text.ts';
import { isBlank } from '../../request/prompt.ts';
import type { AccountView } from '../account.ts';
import { adminCommandNames, parseAdminCommand } from '../admin/commands.ts';
import { parseRuleCommand } from '../admin/rule-commands.ts';
import type { Person } from '../people.ts';
import type { Services } from '../platform.ts';
import { optionsFrom } from '../requests.ts';
import { messagesFor } from '../sentences/catalogue.ts';
import {
  renderAccount,
  renderCancelled,
  renderQueue,
  renderRefusal,
  renderStudioLink,
} from '../sentences/render.ts';
import { renderAdmin, renderHelp } from '../sentences/render-admin.ts';
import { renderRules } from '../sentences/render-rules.ts';
import { CallError, replyTo, type TelegramApi } from './api.ts';
import { forgetButtons, jobOf, remixedJob, resultJob } from './buttons.ts';
import { type PictureOffers, withModel } from './offers.ts';
import {
  isAdminOfGroup,
  isNotFromPeople,
  type People,
  placeOf,
  privateChatOf,
  withMentionedKeys,
} from './people.ts';
import { pictureFor, pictureOf } from './pictures.ts';
import { inPieces, keyboard, withLink } from './rendering.ts';
import { isJobId, messageJobId, type TelegramRequests } from './requests.ts';
import type { SpooledUpdate } from './update-spool.ts';

export interface CommandTools {
  readonly me: { readonly id: number; readonly username: string };
  readonly api: TelegramApi;
  readonly people: People;
  readonly services: Services;
  readonly requests: TelegramRequests;
  readonly offers: PictureOffers;
}

/** More than people send at a time. */
const rememberedAlbums = 1_000;

interface Command {
  readonly name: string;
  /** By "@our_bot". */
  readonly isAddressed: boolean;
  readonly words: readonly string[];
}

interface Incoming {
  readonly spooled: SpooledUpdate;
  readonly message: Message;
  readonly replied: Message | undefined;
  readonly person: Person;
  readonly text: string;
  readonly isPrivate: boolean;
}

export class TelegramCommands {
  readonly #tools: CommandTools;
  /** Albums whose pictures without words were answered. */
  readonly #answeredAlbums = new Set<string>();

  constructor(tools: CommandTools) {
    this.#tools = tools;
  }

  async handle(spooled: SpooledUpdate, message: Message): Promise<void> {
    if (isNotFromPeople(message)) return;
    const replied = 'reply_to_message' in message ? message.reply_to_message : undefined;
    const incoming: Incoming = {
      spooled,
      message,
      replied,
      person: this.#tools.people.senderOf(message),
      text: textOf(message),
      isPrivate: message.chat.type === 'private',
    };
    const command = this.#commandOf(incoming);
    if (command === 'not ours') return;
    if (command) return await this.#onCommand(incoming, command);
    const remixed = incoming.text === '' ? undefined : remixedJob(replied, this.#tools.me.id);
    if (remixed !== undefined) return await this.#remix(incoming, remixed);
    if (incoming.isPrivate) await this.#onPrivate(incoming);
  }

  /** "/me", "/me@our_bot", and the words behind it. Forwarded, it is a command of somebody else. */
  #commandOf({ message, text }: Incoming): Command | 'not ours' | undefined {
    const [head, name, addressee] = /^\/([a-z_]+)(?:@(\w+))?(?=\s|$)/i.exec(text) ?? [];
    if (head === undefined || name === undefined) return undefined;
    if ('forward_origin' in message && name.toLowerCase() !== 'animate') return undefined;
    const { username } = this.#tools.me;
    if (addressee !== undefined && addressee.toLowerCase() !== username.toLowerCase()) return 'not ours';
    const words = text.slice(head.length).split(/\s+/).filter(Boolean);
    return { name: name.toLowerCase(), isAddressed: addressee !== undefined, words };
  }

  async #onCommand(incoming: Incoming, command: Command): Promise<void> {
    const { services, api } = this.#tools;
    const { message, person, isPrivate, text } = incoming;
    const say = messagesFor(person.locale);
    switch (command.name) {
      case 'animate':
        return await this.#animate(incoming, text);
      case 'start':
      case 'help':
        return await this.#say(
          message,
          renderHelp(say.helpText.captions(services.requests.offered), person, say),
        );
      case 'queue':
        return await this.#say(message, renderQueue(await services.account.queue(person), say));
      case 'me':
        return await this.#me(incoming);
      case 'web':
        return await this.#web(incoming);
      case 'privacy': {
        const markup = forgetButtons(person.userKey, say);
        const privacy = say.privacy.text(services.account.retentionDays);
        await api.send(replyTo(message), privacy, { markup });
        return;
      }
      case 'rules':
        return await this.#rules(incoming, command);
      case 'cancel':
        if (!person.isAdmin) return await this.#cancel(incoming, command);
        break;
      default:
        if (!adminCommandNames.some((name) => name === command.name)) {
          if (isPrivate) await this.#say(message, say.helpText.captions(services.requests.offered));
          return;
        }
    }
    // In a group, a stranger's /ban is meant for another bot.
    if (!person.isAdmin && !isPrivate && !command.isAddressed) return;
    await this.#admin(incoming, command);
  }

  #repliedJob({ replied }: Incoming): string | undefined {
    return jobOf(replied, this.#tools.me.id);
  }

  async #admin(incoming: Incoming, { name }: Command): Promise<void> {
    const { spooled, message, person } = incoming;
    // An update that comes twice, after a crash for example, must not grant the same credits twice.
    if (spooled.notes['admin'] !== undefined) return;
    await spooled.note('admin', 1);
    const repliedTo = this.#tools.people.repliedTo(message);
    const defaults = {
      platform: 'telegram',
      user: repliedTo === 'nobody' ? undefined : repliedTo,
      isReply: repliedTo !== undefined,
      jobId: this.#repliedJob(incoming),
    };
    const [, ...words] = withMentionedKeys(message).trim().split(/\s+/);
    const parsed = parseAdminCommand([name, ...words], defaults);
    const outcome = await this.#tools.services.administration.admin(person, parsed);
    await this.#say(message, renderAdmin(outcome, messagesFor(person.locale)));
  }

  async #rules({ message, person }: Incoming, { words, isAddressed }: Command): Promise<void> {
    const moderator = { ...person, isModerator: await this.#moderates(message) };
    const place = placeOf(message, this.#tools.api.limits.upload);
    const command = parseRuleCommand(words, { platform: 'telegram', channelKey: place.channelKey });
    const isOurs = isAddressed || (words.length > 0 && command.kind !== 'unknown');
    // Other bots have a command of this name, too.
    if (!isOurs && place.communityKey !== undefined && !moderator.isModerator && !person.isAdmin) return;
    const outcome = await this.#tools.services.administration.rules(moderator, place, command);
    await this.#say(message, renderRules(outcome, messagesFor(person.locale)));
  }

  /** Only admins of a group can write as the group itself. */
  async #moderates({ chat, from, sender_chat: senderChat }: Message): Promise<boolean> {
    if (senderChat) return senderChat.id === chat.id;
    return from !== undefined && (await isAdminOfGroup(this.#tools.api, chat.id, from.id));
  }

  /** Words under a picture, or in a reply to one; in a reply to a video of the bot they make a remix. */
  async #animate(incoming: Incoming, words: string): Promise<void> {
    const { me, requests, offers } = this.#tools;
    const { spooled, message, replied, person } = incoming;
    const chatId = message.chat.id;
    const shown = pictureFor(message);
    const jobId = shown ? undefined : resultJob(replied, me.id);
    if (jobId !== undefined) return await this.#remix(incoming, jobId);
    const kept = shown ? undefined : offers.kept(chatId);
    // Written down with the update, so that picture and model are there after a crash, too.
    const asked = withModel(words, kept?.model);
    if (kept) Object.assign(message, { reply_to_message: kept.message, text: asked });
    const picture = shown ?? pictureOf(kept?.message);
    if (picture) {
      if (await requests.animate(spooled, message, person, picture, asked)) offers.forget(chatId);
      return;
    }
    await this.#say(message, messagesFor(person.locale).refusal.noPicture);
  }

  async #remix({ spooled, message, person, text }: Incoming, jobId: string): Promise<void> {
    const { services, requests } = this.#tools;
    const say = messagesFor(person.locale);
    const opened = await services.buttons.open(jobId, person, 'remix');
    if (opened.kind === 'refused') return await this.#say(message, renderRefusal(opened.reason, say));
    const changes = optionsFrom(() => parseWords(text));
    if (changes.kind === 'refused') return await this.#say(message, renderRefusal(changes.reason, say));
    const ownJobId = messageJobId(message.chat.id, message.message_id);
    const again = { entry: opened.entry, action: 'remix', changes: changes.options } as const;
    await requests.again(spooled, message, person, ownJobId, again);
  }

  /** In a private chat every message is for the bot. */
  async #onPrivate(incoming: Incoming): Promise<void> {
    const { message, replied, person, text } = incoming;
    const album = 'media_group_id' in message ? message.media_group_id : undefined;
    const isAnswered = album !== undefined && this.#answeredAlbums.has(album);
    if (album !== undefined) this.#answeredAlbums.add(album);
    if (this.#answeredAlbums.size > rememberedAlbums) this.#answeredAlbums.clear();
    const { me, offers } = this.#tools;
    const isForPicture =
      pictureFor(message) ?? resultJob(replied, me.id) ?? ('text' in message && offers.kept(message.chat.id));
    if (text !== '' && isForPicture) return await this.#animate(incoming, text);
    if (isAnswered || !isContent(message)) return;
    const { requests } = this.#tools.services;
    if (pictureOf(message)) {
      // A model that reads no words needs none.
      const { prompt, model } = requests.offered;
      if (!prompt) return await this.#animate(incoming, '');
      return await offers.offer(message, person, model);
    }
    const say = messagesFor(person.locale);
    const isOtherMedia = otherMedia.some((kind) => kind in message);
    await this.#say(message, isOtherMedia ? say.refusal.noPicture : say.helpText.captions(requests.offered));
  }

  /** @param isOurs whether it is answered where the person has no jobs, too */
  async #me({ message, person, isPrivate }: Incoming, isOurs = true): Promise<void> {
    const { services, api } = this.#tools;
    const account = await services.account.me(person, placeOf(message, api.limits.upload));
    if (!isOurs && !(account.kind === 'account' && account.jobs.length > 0)) return;
    const shown = isPrivate || account.kind === 'refused' ? account : withoutPrivatePrompts(account);
    const { text, buttons } = renderAccount(shown, messagesFor(person.locale));
    await api.send(replyTo(message), text, { markup: keyboard(buttons) });
  }

  /** The link goes to the private chat: in a group, everybody could open it. */
  async #web({ message, person, isPrivate }: Incoming): Promise<void> {
    const { services, api } = this.#tools;
    const say = messagesFor(person.locale);
    const chat = privateChatOf(person);
    if (!chat) return await this.#say(message, say.web.ownName);
    const { first_name: first = '', last_name: last = '' } = message.from ?? {};
    const link = await services.studio.linkFor(person, `${first} ${last}`);
    const words = renderStudioLink(link, say);
    if (link.kind !== 'link') return await this.#say(message, words);
    const { text, entities } = withLink(words, link.url);
    try {
      await api.send(isPrivate ? replyTo(message) : chat, text, { entities });
    } catch (error) {
      if (isPrivate || !(error instanceof CallError) || !error.isRefusal) throw error;
      return await this.#say(message, say.refusal.noPrivateChat);
    }
    if (!isPrivate) await this.#say(message, say.web.sentPrivately);
  }

  /**
   * People cancel their own jobs: by id, or by the buttons under the list of theirs. In a group, one that names no job
   * of ours is meant for another bot.
   */
  async #cancel(incoming: Incoming, { words, isAddressed }: Command): Promise<void> {
    const { message, person, isPrivate } = incoming;
    const isOurs = isPrivate || isAddressed;
    const jobId = words[0] ?? this.#repliedJob(incoming);
    if (jobId === undefined) return await this.#me(incoming, isOurs);
    if (!isOurs && !isJobId(jobId)) return;
    const outcome = await this.#tools.services.buttons.cancel(jobId, person);
    await this.#say(message, renderCancelled(outcome, messagesFor(person.locale)));
  }

  async #say(message: Message, text: string): Promise<void> {
    for (const piece of inPieces(text, 3_500)) await this.#tools.api.send(replyTo(message), piece);
  }
}

/** For a group, which reads along. */
function withoutPrivatePrompts(account: AccountView): AccountView {
  const jobs = account.jobs.map((job) => (job.isPrivate ? { ...job, prompt: '…' } : job));
  return { ...account, jobs };
}

function textOf(message: Message): string {
  const text = 'text' in message ? message.text : 'caption' in message ? (message.caption ?? '') : '';
  return isBlank(text) ? '' : text.trim();
}

/** Media that people may want to animate; pictureOf() has found none in them. */
const otherMedia = ['document', 'video', 'animation', 'sticker', 'video_note'] as const;

/** Content of a person, in contrast to service messages of the chat. */
function isContent(message: Message): boolean {
  const kinds = ['text', 'photo', 'voice', 'audio', ...otherMedia];
  return kinds.some((kind) => kind in message);
}
