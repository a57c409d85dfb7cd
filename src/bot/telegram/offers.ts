/**
 * A picture without words, in a private chat: buttons offer motions, and the picture is kept for words in the next
 * message. The buttons need nothing that is kept, since their message replies to the picture.
 */
import { LRUCache } from 'lru-cache';
import type { InlineKeyboardMarkup, Message } from 'telegraf/types';
import { motionWords } from '../../request/motions.ts';
import type { Person } from '../people.ts';
import { type Messages, messagesFor } from '../sentences/catalogue.ts';
import { replyTo, type TelegramApi } from './api.ts';
import { type PictureFile, pictureOf } from './pictures.ts';

/** In memory only: after a restart the buttons still work. */
const keptMs = 10 * 60_000;
const keptChats = 1_000;

/** What the buttons ask for; models know English best. */
const motions = {
  zoom: motionWords['zoom-in'],
  pan: motionWords['pan-left'],
  waves: motionWords.waves,
} as const;
const choices = ['zoom', 'pan', 'waves', 'own'] as const;
export type Choice = (typeof choices)[number];

export function parseOfferButton(data: string): Choice | undefined {
  return choices.find((choice) => data === `offer:${choice}`);
}

export interface OfferedPicture {
  /** The message with the picture. */
  readonly message: Message;
  readonly picture: PictureFile;
}

export class PictureOffers {
  readonly #api: TelegramApi;
  /** Messages with a picture, by chat. */
  readonly #kept = new LRUCache<number, Message>({ max: keptChats, ttl: keptMs });

  constructor(api: TelegramApi) {
    this.#api = api;
  }

  async offer(message: Message, person: Person): Promise<void> {
    this.#kept.set(message.chat.id, message);
    const say = messagesFor(person.locale);
    await this.#api.send(replyTo(message), say.offer.ask, { markup: offerButtons(say) });
  }

  /** The message whose picture waits for words. */
  kept(chatId: number): Message | undefined {
    return this.#kept.get(chatId);
  }

  forget(chatId: number): void {
    this.#kept.delete(chatId);
  }

  /** The words of a button; undefined where the person wants to write them, and is asked to. */
  async wordsOf(choice: Choice, offer: Message, { message }: OfferedPicture, person: Person) {
    this.#kept.delete(offer.chat.id);
    if (choice !== 'own') return motions[choice];
    this.#kept.set(offer.chat.id, message);
    await this.#api.send(replyTo(offer), messagesFor(person.locale).offer.write, {
      markup: { force_reply: true },
    });
    return undefined;
  }
}

/** The picture that a message with such buttons is about. */
export function offeredPicture(offer: Message): OfferedPicture | undefined {
  const message = 'reply_to_message' in offer ? offer.reply_to_message : undefined;
  const picture = pictureOf(message);
  return message && picture && offer.chat.type === 'private' ? { message, picture } : undefined;
}

function offerButtons({ offer }: Messages): InlineKeyboardMarkup {
  const labels = { ...offer.motions, own: offer.own };
  const buttons = choices.map((choice) => ({ text: labels[choice], callback_data: `offer:${choice}` }));
  return { inline_keyboard: [buttons.slice(0, -1), buttons.slice(-1)] };
}
