/**
 * Pressed buttons. Everything that is needed is in the button and in Redis, so they work after a restart and weeks
 * later; the person's client shows a spinner until the press is answered, so that comes first.
 */
import type { CallbackQuery, Message } from 'telegraf/types';
import type { Logger } from '../../log.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { readMp4Info } from '../../video/mp4.ts';
import { type Action, parseButtonId } from '../buttons.ts';
import { optionsAsWords } from '../options.ts';
import type { Person } from '../people.ts';
import type { Services } from '../platform.ts';
import type { Refused } from '../refusals.ts';
import { messagesFor } from '../sentences/catalogue.ts';
import {
  renderCancelled,
  renderDeleted,
  renderRefusal,
  renderSettings,
  renderTransformed,
} from '../sentences/render.ts';
import { type Api, CallError } from './api.ts';
import { pressJobId } from './ids.ts';
import { besides, type Outbox } from './outbox.ts';
import { chatAsPerson, isAdminOfGroup, maxUploadBytes, type People } from './people.ts';
import { forgetButtons, parseForgetButton } from './privacy.ts';
import { askForPrompt } from './remix.ts';
import { codeFrom, cut, inert, inPieces, maxCaptionLength, maxTextLength } from './rendering.ts';
import type { Requests } from './requests.ts';
import type { SpooledUpdate } from './update-spool.ts';
import { sendVideo } from './video-post.ts';

export interface PressTools {
  readonly api: Api;
  readonly outbox: Outbox;
  readonly people: People;
  readonly services: Services;
  readonly requests: Requests;
  readonly log: Logger;
}

interface Press {
  readonly spooled: SpooledUpdate;
  readonly query: CallbackQuery;
  /** Under which the button is; an old one comes without its text. */
  readonly message: Message;
  readonly person: Person;
}

const maxAlertLength = 200;

export class PressHandler {
  readonly #tools: PressTools;

  constructor(tools: PressTools) {
    this.#tools = tools;
  }

  async handle(spooled: SpooledUpdate, query: CallbackQuery): Promise<void> {
    const { message } = query;
    const data = 'data' in query ? query.data : '';
    if (!message) return await this.#answer(query);
    // The types hide what is only sometimes there; all that is used of it is looked at first.
    const press: Press = {
      spooled,
      query,
      message: message as Message,
      person: this.#tools.people.user(query.from),
    };
    const forget = parseForgetButton(data);
    if (forget) return await this.#forget(press, forget);
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

  async #act(press: Press, action: Action, entry: LedgerEntry): Promise<void> {
    const { spooled, message, person, query } = press;
    const { requests, outbox } = this.#tools;
    switch (action) {
      case 'reroll':
      case 'subtle':
      case 'strong':
        return await requests.again(spooled, message, person, pressJobId(query.id), { entry, action });
      case 'remix':
        return await askForPrompt(outbox, {
          message,
          user: query.from,
          jobId: entry.id,
          prompt: entry.request.generation.prompt,
          say: messagesFor(person.locale),
        });
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

  /** Who asks anonymously, as the group, presses under their own name: any admin of the group may be them. */
  async #speaksForGroup({ from }: CallbackQuery, { chat }: Message): Promise<boolean> {
    return await isAdminOfGroup(this.#tools.api, chat.id, from.id).catch(() => false);
  }

  async #settings({ message, person }: Press, entry: LedgerEntry): Promise<void> {
    const { outbox } = this.#tools;
    const above = inert(`${renderSettings(entry, messagesFor(person.locale))}\n`);
    const command = `/animate ${optionsAsWords(entry.request.generation)}`;
    if (above.length + command.length <= maxTextLength) {
      const whole = above + command;
      await outbox.send(besides(message), whole, { entities: codeFrom(whole, above.length) });
      return;
    }
    for (const piece of inPieces(above.trim())) await outbox.send(besides(message), piece);
    for (const piece of inPieces(command)) {
      await outbox.send(besides(message), piece, { entities: codeFrom(piece, 0) });
    }
  }

  async #transform({ message, person }: Press, action: 'smooth' | 'loop', entry: LedgerEntry): Promise<void> {
    const { api, outbox, services } = this.#tools;
    const chat_id = message.chat.id;
    void api.call('sendChatAction', { chat_id, action: 'upload_video' }).catch(() => {}); // only for show
    const made = await services.buttons.transform(entry, action, maxUploadBytes);
    const say = messagesFor(person.locale);
    if (made.kind === 'refused') {
      await outbox.send(besides(message), renderRefusal(made.reason, say));
      return;
    }
    const { width, height, durationSeconds } = await readMp4Info(made.file);
    const { thumbnail } = services.artifacts.files(entry.id);
    const clip = { file: made.file, thumbnail, width, height, durationSeconds };
    const caption = cut(inert(renderTransformed(made, say)), maxCaptionLength);
    await sendVideo(api, besides(message), clip, { caption, markup: undefined, isSpoiler: made.isSpoiler });
  }

  async #delete({ message, person }: Press, entry: LedgerEntry): Promise<void> {
    const { api, services, log } = this.#tools;
    const at = { chat_id: message.chat.id, message_id: message.message_id };
    await services.buttons.remove(entry);
    try {
      await api.insist('deleteMessage', at);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      // Bots may delete their messages for two days only; after that at least the words and buttons go.
      log.warn({ err: error.message }, 'a result could not be deleted');
      const caption = inert(messagesFor(person.locale).result.deleted);
      await api.call('editMessageCaption', { ...at, caption }).catch(() => {});
    }
  }

  async #forget(
    { query, message, person }: Press,
    { step, userKey }: NonNullable<ReturnType<typeof parseForgetButton>>,
  ): Promise<void> {
    const { api, outbox, services } = this.#tools;
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
      await api.insist('editMessageReplyMarkup', { ...at, reply_markup }).catch(() => {});
      return;
    }
    await api.insist('editMessageReplyMarkup', at).catch(() => {});
    const text = renderDeleted(await services.account.forget({ ...person, userKey }), say);
    await outbox.edit(message.chat.id, message.message_id, text, []).catch(async (error) => {
      if (error instanceof CallError && error.isMessageGone) await outbox.send(besides(message), text);
    });
  }

  /** Ends the spinner, with a word if there is one. Too late is no harm. */
  async #answer(query: CallbackQuery, text = '', isAlert = false): Promise<void> {
    const words = text === '' ? {} : { text: cut(text, maxAlertLength), show_alert: isAlert };
    await this.#tools.api
      .insist('answerCallbackQuery', { callback_query_id: query.id, ...words }, { deadlineMs: 5_000 })
      .catch((error) => this.#tools.log.debug({ err: String(error) }, 'a press was answered too late'));
  }
}

function isNotYours(outcome: Refused | { readonly kind: 'open' | 'cancelling' }): boolean {
  return outcome.kind === 'refused' && outcome.reason.kind === 'notYours';
}
