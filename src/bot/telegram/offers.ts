/**
 * A picture without words, in a private chat: buttons offer motions, and the models where there are several, and the
 * picture is kept for words in the next message. The buttons need nothing that is kept, since their message replies to the
 * picture, and those of the motions carry the model.
 */
import { LRUCache } from 'lru-cache';
import type { InlineKeyboardMarkup, Message } from 'telegraf/types';
import { motionWords } from '../../request/motions.ts';
import type { Person } from '../people.ts';
import { type Messages, messagesFor } from '../sentences/catalogue.ts';
import type { OfferedModel } from '../sentences/en.ts';
import { replyTo, type TelegramApi } from './api.ts';
import { markOf } from './models.ts';
import { type PictureFile, pictureOf } from './pictures.ts';
import { inert } from './rendering.ts';

/** In memory only: after a restart the buttons still work. */
const keptMs = 10 * 60_000;
const keptChats = 1_000;

/** What the buttons ask for; models know English best. */
const motions = {
  zoom: motionWords['zoom-in'],
  pan: motionWords['pan-left'],
  waves: motionWords.waves,
} as const;
const choices = ['zoom', 'pan', 'waves', 'own', 'model'] as const;
type Choice = (typeof choices)[number];

export interface OfferButton {
  readonly choice: Choice;
  /** Of the model that makes the video, or that is chosen; the default one where there is none. */
  readonly mark: string | undefined;
}

export function parseOfferButton(data: string): OfferButton | undefined {
  const [, name, mark] = /^offer:(\w+)(?::(\w+))?$/.exec(data) ?? [];
  const choice = choices.find((known) => known === name);
  return choice && { choice, mark };
}

const buttonData = ({ choice, mark }: OfferButton): string =>
  `offer:${choice}${mark === undefined ? '' : `:${mark}`}`;

export interface OfferedPicture {
  /** The message with the picture. */
  readonly message: Message;
  readonly picture: PictureFile;
}

interface KeptPicture {
  readonly message: Message;
  /** The id of the model that was chosen for it. */
  readonly model: string | undefined;
}

export class PictureOffers {
  readonly #api: TelegramApi;
  /** By chat. */
  readonly #kept = new LRUCache<number, KeptPicture>({ max: keptChats, ttl: keptMs });

  constructor(api: TelegramApi) {
    this.#api = api;
  }

  /** @param models those to choose from, where there are several */
  async offer(message: Message, person: Person, models: readonly OfferedModel[] = []): Promise<void> {
    const model = reading(models);
    this.#kept.set(message.chat.id, { message, model: model?.id });
    const say = messagesFor(person.locale);
    await this.#api.send(replyTo(message), say.offer.ask, { markup: offerButtons(say, models, model?.id) });
  }

  /** The picture that waits for words. */
  kept(chatId: number): KeptPicture | undefined {
    return this.#kept.get(chatId);
  }

  forget(chatId: number): void {
    this.#kept.delete(chatId);
  }

  /** Has a model that reads words make what is chosen next. */
  async choose(
    { id }: OfferedModel,
    offer: Message,
    { message }: OfferedPicture,
    person: Person,
    models: readonly OfferedModel[],
  ): Promise<void> {
    this.#kept.set(offer.chat.id, { message, model: id });
    await this.#api
      .callWithRetries('editMessageReplyMarkup', {
        ...{ chat_id: offer.chat.id, message_id: offer.message_id },
        reply_markup: offerButtons(messagesFor(person.locale), models, id),
      })
      .catch(() => {}); // it is chosen all the same
  }

  /** The words of a button; undefined where the person wants to write them, and is asked to. */
  async wordsOf(
    choice: Exclude<Choice, 'model'>,
    model: string | undefined,
    offer: Message,
    { message }: OfferedPicture,
    person: Person,
  ): Promise<string | undefined> {
    this.#kept.delete(offer.chat.id);
    if (choice !== 'own') return withModel(motions[choice], model);
    this.#kept.set(offer.chat.id, { message, model });
    await this.#api.send(replyTo(offer), messagesFor(person.locale).offer.write, {
      markup: { force_reply: true },
    });
    return undefined;
  }
}

/** Words that name a model themselves are left alone. */
export function withModel(words: string, model: string | undefined): string {
  return model === undefined || /(^|\s)model=/i.test(words) ? words : `${words} model=${model}`.trim();
}

/** The picture that a message with such buttons is about. */
export function offeredPicture(offer: Message): OfferedPicture | undefined {
  const message = 'reply_to_message' in offer ? offer.reply_to_message : undefined;
  const picture = pictureOf(message);
  return message && picture && offer.chat.type === 'private' ? { message, picture } : undefined;
}

/** The first that makes something of the words of a motion: the default one, unless it looks at the picture alone. */
function reading(models: readonly OfferedModel[]): OfferedModel | undefined {
  return models.find(({ readsWords }) => readsWords);
}

/** @param chosen the id of the model that makes the motions */
function offerButtons(
  { offer, models: words }: Messages,
  models: readonly OfferedModel[],
  chosen: string | undefined,
): InlineKeyboardMarkup {
  const labels = { ...offer.motions, own: offer.own };
  const mark = chosen === undefined ? undefined : markOf(chosen);
  const button = (text: string, to: OfferButton) => ({ text, callback_data: buttonData(to) });
  const motionRow = (['zoom', 'pan', 'waves', 'own'] as const).map((choice) =>
    button(labels[choice], { choice, mark }),
  );
  const modelRows = models.map(({ id, title, credits }) => [
    button(inert(`${id === chosen ? '✓ ' : ''}${words.choice(title, credits)}`), {
      choice: 'model',
      mark: markOf(id),
    }),
  ]);
  return { inline_keyboard: [motionRow.slice(0, -1), motionRow.slice(-1), ...modelRows] };
}
