/** Buttons under the bot's messages. A press is answered first, because the client shows a spinner until then. */
import type { CallbackQuery, InlineKeyboardMarkup, Message, MessageEntity } from 'telegraf/types';
import type { Logger } from '../../log.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { optionsAsWords } from '../../request/options-text.ts';
import { readMp4Info } from '../../video/mp4.ts';
import { type Action, buttonId, parseButtonId, type TransformedClip } from '../buttons.ts';
import type { Person } from '../people.ts';
import type { Services } from '../platform.ts';
import type { Refused } from '../refusals.ts';
import { type Messages, messagesFor } from '../sentences/catalogue.ts';
import { withoutDirectionControls } from '../sentences/directions.ts';
import {
  renderCancelled,
  renderDeleted,
  renderRefusal,
  renderSettings,
  renderTransformed,
} from '../sentences/render.ts';
import { shorten } from '../sentences/shorten.ts';
import { CallError, replyTo, type TelegramApi } from './api.ts';
import { sendVideo } from './delivery.ts';
import { type AgainButton, againButtons, markedModel, parseAgainButton } from './models.ts';
import {
  type OfferButton,
  offeredPicture,
  type PictureOffers,
  parseOfferButton,
  withModel,
} from './offers.ts';
import { chatAsPerson, isAdminOfGroup, type People } from './people.ts';
import { codeFrom, inert, inPieces, maxCaptionLength, maxTextLength } from './rendering.ts';
import { pressJobId, type TelegramRequests } from './requests.ts';
import type { SpooledUpdate } from './update-spool.ts';

export interface ButtonTools {
  readonly api: TelegramApi;
  readonly people: People;
  readonly services: Services;
  readonly requests: TelegramRequests;
  readonly offers: PictureOffers;
  readonly log: Logger;
}

interface Press {
  readonly spooled: SpooledUpdate;
  readonly query: CallbackQuery;
  /** The message with the button; an old one comes without its text. */
  readonly message: Message;
  readonly person: Person;
}

const maxAlertLength = 200;
/** Telegram shows at most this much in the input field. */
const placeholderLength = 64;

export class TelegramButtons {
  readonly #tools: ButtonTools;

  constructor(tools: ButtonTools) {
    this.#tools = tools;
  }

  async handle(spooled: SpooledUpdate, query: CallbackQuery): Promise<void> {
    const { message } = query;
    const data = 'data' in query ? query.data : '';
    if (!message) return await this.#answer(query);
    // An inaccessible message lacks the fields that are optional in Message anyway.
    const press: Press = {
      spooled,
      query,
      message: message as Message,
      person: this.#tools.people.user(query.from),
    };
    const forget = parseForgetButton(data);
    if (forget) return await this.#forget(press, forget);
    const offer = parseOfferButton(data);
    if (offer) return await this.#onOffer(press, offer);
    const again = parseAgainButton(data);
    if (again) return await this.#againWith(press, again);
    const button = parseButtonId(data);
    if (!button) return await this.#answer(query);
    if (button.action === 'cancel') return await this.#cancel(press, button.jobId);
    const opened = await this.#open(press, button.jobId, button.action);
    if (opened.kind === 'refused') {
      const say = messagesFor(press.person.locale);
      return await this.#answer(query, renderRefusal(opened.reason, say), true);
    }
    await this.#answer(query);
    await this.#act({ ...press, person: opened.person }, button.action, opened.entry);
  }

  async #onOffer({ spooled, query, message, person }: Press, { choice, mark }: OfferButton): Promise<void> {
    const { offers, requests } = this.#tools;
    const say = messagesFor(person.locale);
    const offered = offeredPicture(message);
    // Deleted, or a client that makes buttons of its own.
    if (!offered) return await this.#answer(query, say.refusal.noPicture, true);
    const { model: models = [] } = this.#tools.services.requests.offered;
    const model = mark === undefined ? undefined : markedModel(mark, models);
    if (!model && (mark !== undefined || choice === 'model'))
      return await this.#answer(query, say.models.gone, true);
    await this.#answer(query);
    if (choice === 'model' && model?.readsWords)
      return await offers.choose(model, message, offered, person, models);
    // One that looks at the picture alone needs no words.
    const words =
      choice === 'model'
        ? withModel('', model?.id)
        : await offers.wordsOf(choice, model?.id, message, offered, person);
    if (words === undefined) return;
    await requests.animate(spooled, offered.message, person, offered.picture, words, pressJobId(query.id));
  }

  /** The same again, by another model. */
  async #againWith(press: Press, { mark, jobId }: AgainButton): Promise<void> {
    const { spooled, query, message } = press;
    const { requests, services } = this.#tools;
    const say = messagesFor(press.person.locale);
    const model = markedModel(mark, services.requests.offered.model ?? []);
    if (!model) return await this.#answer(query, say.models.gone, true);
    const opened = await this.#open(press, jobId, 'remix');
    if (opened.kind === 'refused') return await this.#answer(query, renderRefusal(opened.reason, say), true);
    await this.#answer(query);
    const { entry, person } = opened;
    const changes = { model: model.id };
    await requests.again(spooled, message, person, pressJobId(query.id), { entry, action: 'remix', changes });
  }

  async #act(press: Press, action: Action, entry: LedgerEntry): Promise<void> {
    const { spooled, message, person, query } = press;
    const { requests } = this.#tools;
    switch (action) {
      case 'reroll':
      case 'subtle':
      case 'strong':
      case 'extend':
        return await requests.again(spooled, message, person, pressJobId(query.id), { entry, action });
      case 'remix':
        return await this.#askForPrompt(press, entry);
      case 'settings':
        return await this.#settings(press, entry);
      case 'smooth':
      case 'loop':
        return await this.#transform(press, action, entry);
      case 'delete':
        return await this.#delete(press, entry);
      case 'cancel':
        return;
    }
  }

  async #cancel({ query, message, person }: Press, jobId: string): Promise<void> {
    const { buttons } = this.#tools.services;
    let outcome = await buttons.cancel(jobId, person);
    if (isNotYours(outcome) && (await this.#speaksForGroup(query, message))) {
      outcome = await buttons.cancel(jobId, chatAsPerson(message.chat.id, query.from.language_code));
    }
    const text = renderCancelled(outcome, messagesFor(person.locale));
    await this.#answer(query, text, outcome.kind === 'refused');
  }

  /** The job, and the person as whom it may be acted upon. */
  async #open(
    { query, message, person }: Press,
    jobId: string,
    action: Action,
  ): Promise<{ kind: 'open'; entry: LedgerEntry; person: Person } | Refused> {
    const { buttons } = this.#tools.services;
    const opened = await buttons.open(jobId, person, action);
    if (opened.kind === 'open') return { ...opened, person };
    if (!isNotYours(opened) || !(await this.#speaksForGroup(query, message))) return opened;
    const group = chatAsPerson(message.chat.id, query.from.language_code);
    const openedByGroup = await buttons.open(jobId, group, action);
    return openedByGroup.kind === 'open' ? { ...openedByGroup, person: group } : openedByGroup;
  }

  /**
   * A person who writes as the group presses under their own name: any admin of the group may be them, but nobody who is
   * banned.
   */
  async #speaksForGroup({ from }: CallbackQuery, { chat }: Message): Promise<boolean> {
    const { api, people, services } = this.#tools;
    try {
      if (!(await isAdminOfGroup(api, chat.id, from.id))) return false;
      return !(await services.administration.isBanned(people.user(from)));
    } catch {
      return false; // Telegram or Redis does not answer
    }
  }

  async #settings({ message, person }: Press, entry: LedgerEntry): Promise<void> {
    const { api, services } = this.#tools;
    const say = messagesFor(person.locale);
    const { model = [] } = services.requests.offered;
    const markup = againButtons(entry.id, entry.model, model, say);
    const above = inert(`${renderSettings(entry, say)}\n`);
    const command = `/animate ${withoutDirectionControls(optionsAsWords(entry.request.generation))}`;
    if (above.length + command.length <= maxTextLength) {
      const whole = above + command;
      await api.send(replyTo(message), whole, { entities: codeFrom(whole, above.length), markup });
      return;
    }
    for (const piece of inPieces(above.trim())) await api.send(replyTo(message), piece);
    const pieces = inPieces(command);
    for (const [index, piece] of pieces.entries()) {
      const isLast = index === pieces.length - 1;
      await api.send(replyTo(message), piece, {
        entities: codeFrom(piece, 0),
        markup: isLast ? markup : undefined,
      });
    }
  }

  /**
   * Remix without forms: a message that asks for a reply, with the old prompt to copy. Its last line names the job, so
   * the reply is understood after a restart and weeks later, without anything being kept.
   */
  async #askForPrompt({ query, message, person }: Press, entry: LedgerEntry): Promise<void> {
    const { ask, noPrompt } = messagesFor(person.locale).remix;
    const prompt = withoutDirectionControls(entry.request.generation.prompt);
    const inGroup = message.chat.type !== 'private';
    // In a group only the person who is named sees the reply field.
    const name = inGroup ? inert(query.from.first_name) : '';
    const entities: MessageEntity[] = inGroup
      ? [{ type: 'text_mention', offset: 0, length: name.length, user: query.from }]
      : [];
    const head = `${inGroup ? `${name}: ` : ''}${inert(ask)}\n`;
    const reference = buttonId({ action: 'remix', jobId: entry.id });
    const shown = shorten(prompt.trim() || noPrompt, maxTextLength - head.length - reference.length - 2);
    const promptEnd = head.length + shown.length;
    const text = `${head}${shown}\n\n${reference}`;
    entities.push(
      { type: 'pre', offset: head.length, length: shown.length },
      ...codeFrom(text, promptEnd + 2),
    );
    const placeholder = shorten(prompt.replace(/\s+/gu, ' ').trim(), placeholderLength);
    await this.#tools.api.send(replyTo(message), text, {
      entities,
      markup: {
        force_reply: true,
        ...(inGroup ? { selective: true as const } : {}),
        ...(placeholder ? { input_field_placeholder: placeholder } : {}),
      },
    });
  }

  async #transform({ message, person }: Press, action: 'smooth' | 'loop', entry: LedgerEntry): Promise<void> {
    const { api, services } = this.#tools;
    const chat_id = message.chat.id;
    void api.call('sendChatAction', { chat_id, action: 'upload_video' }).catch(() => {}); // only for show
    const say = messagesFor(person.locale);
    const send = async (made: TransformedClip): Promise<undefined> => {
      const clip = { ...made, ...(await readMp4Info(made.file)) };
      const caption = shorten(inert(renderTransformed(made, say)), maxCaptionLength);
      const frame = { caption, markup: undefined, isSpoiler: made.isSpoiler };
      await sendVideo(api, replyTo(message), clip, frame);
    };
    const outcome = await services.buttons.transform(entry, action, api.limits.upload, send);
    if (outcome) await api.send(replyTo(message), renderRefusal(outcome.reason, say));
  }

  async #delete({ message, person }: Press, entry: LedgerEntry): Promise<void> {
    const { api, services, log } = this.#tools;
    const at = { chat_id: message.chat.id, message_id: message.message_id };
    await services.buttons.remove(entry);
    try {
      await api.callWithRetries('deleteMessage', at);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      // Bots may delete their messages for two days only; later at least the text and the buttons are replaced.
      log.warn({ err: error.message }, 'a result could not be deleted');
      const caption = inert(messagesFor(person.locale).result.deleted);
      await api.call('editMessageCaption', { ...at, caption }).catch(() => {});
    }
  }

  async #forget(
    { query, message, person }: Press,
    { step, userKey }: NonNullable<ReturnType<typeof parseForgetButton>>,
  ): Promise<void> {
    const { api, services } = this.#tools;
    const say = messagesFor(person.locale);
    const isTheirs = userKey === person.userKey;
    if (
      !isTheirs &&
      !(
        userKey === chatAsPerson(message.chat.id, undefined).userKey &&
        (await this.#speaksForGroup(query, message))
      )
    ) {
      return await this.#answer(query, say.refusal.notYours, true);
    }
    await this.#answer(query);
    const at = { chat_id: message.chat.id, message_id: message.message_id };
    if (step !== 'do') {
      const reply_markup = forgetButtons(userKey, say, step === 'ask');
      await api.callWithRetries('editMessageReplyMarkup', { ...at, reply_markup }).catch(() => {});
      return;
    }
    await api.callWithRetries('editMessageReplyMarkup', at).catch(() => {});
    const text = renderDeleted(await services.account.forget({ ...person, userKey }), say);
    await api.edit(message.chat.id, message.message_id, { text, buttons: [] }).catch(async (error) => {
      if (error instanceof CallError && error.isMessageGone) await api.send(replyTo(message), text);
    });
  }

  /** Ends the spinner, with a text if there is one. A late answer does no harm. */
  async #answer(query: CallbackQuery, text = '', isAlert = false): Promise<void> {
    const shown = shorten(withoutDirectionControls(text), maxAlertLength);
    const words = text === '' ? {} : { text: shown, show_alert: isAlert };
    await this.#tools.api
      .callWithRetries(
        'answerCallbackQuery',
        { callback_query_id: query.id, ...words },
        { deadlineMs: 5_000 },
      )
      .catch((error) => this.#tools.log.debug({ err: String(error) }, 'a press was answered too late'));
  }
}

function isNotYours(outcome: Refused | { readonly kind: 'open' | 'cancelling' }): boolean {
  return outcome.kind === 'refused' && outcome.reason.kind === 'notYours';
}

const steps = ['ask', 'do', 'no'] as const;
type ForgetStep = (typeof steps)[number];

/**
 * "Delete everything" under /privacy, which first turns into a button that does it. Only the person who wrote /privacy
 * may press: their key is in the button.
 */
export function forgetButtons(userKey: string, say: Messages, isAskedAlready = false): InlineKeyboardMarkup {
  const button = (text: string, step: ForgetStep) => ({ text, callback_data: `forget:${step}:${userKey}` });
  const { deleteAll } = say.privacy;
  if (!isAskedAlready) return { inline_keyboard: [[button(deleteAll, 'ask')]] };
  return { inline_keyboard: [[button(`⚠️ ${deleteAll}`, 'do'), button('✖️', 'no')]] };
}

function parseForgetButton(data: string): { step: ForgetStep; userKey: string } | undefined {
  const [, name, userKey] = /^forget:(\w+):(.+)$/.exec(data) ?? [];
  const step = steps.find((known) => known === name);
  return step && userKey !== undefined ? { step, userKey } : undefined;
}

/** The job that a reply is about, when it replies to a message that asks for a prompt. */
export function remixedJob(replied: Message | undefined, ownId: number): string | undefined {
  if (!replied || !('text' in replied) || replied.from?.id !== ownId) return undefined;
  const reference = parseButtonId(replied.text.slice(replied.text.lastIndexOf('\n') + 1).trim());
  return reference?.action === 'remix' ? reference.jobId : undefined;
}

/** The job of a result. */
export function resultJob(replied: Message | undefined, ownId: number): string | undefined {
  return replied && 'video' in replied ? jobOf(replied, ownId) : undefined;
}

/** The job that a message of the bot is about, by its buttons. */
export function jobOf(message: Message | undefined, ownId: number): string | undefined {
  if (!message || message.from?.id !== ownId || !('reply_markup' in message)) return undefined;
  for (const button of message.reply_markup?.inline_keyboard.flat() ?? []) {
    const reference = 'callback_data' in button ? parseButtonId(button.callback_data) : undefined;
    if (reference) return reference.jobId;
  }
  return undefined;
}
