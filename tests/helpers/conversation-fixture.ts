/** The bot on a real Redis, with a worker that answers each job with a copy of one real clip. */

import { copyFile, mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Account } from '../../src/bot/account.ts';
import { Administration } from '../../src/bot/admin/administration.ts';
import { parseAdminCommand } from '../../src/bot/admin/commands.ts';
import { parseRuleCommand } from '../../src/bot/admin/rule-commands.ts';
import { RuleBook } from '../../src/bot/admin/rules.ts';
import { type AdminTools, adminTools } from '../../src/bot/admin/run-command.ts';
import { finalAnswer, waitingOf } from '../../src/bot/answers.ts';
import { type Action, JobButtons } from '../../src/bot/buttons.ts';
import { Models } from '../../src/bot/models.ts';
import type { Person, Place } from '../../src/bot/people.ts';
import type { Services } from '../../src/bot/platform.ts';
import {
  type AgainAction,
  type ChatRequest,
  type RequestOrigin,
  type RequestOutcome,
  Requests,
} from '../../src/bot/requests.ts';
import { messagesFor } from '../../src/bot/sentences/catalogue.ts';
import {
  messagesOf,
  renderAccount,
  renderCancelled,
  renderDeleted,
  renderFinal,
  renderQueue,
  renderRefusal,
  renderRequest,
  renderSettings,
  renderTransformed,
  renderWaiting,
} from '../../src/bot/sentences/render.ts';
import { renderAdmin } from '../../src/bot/sentences/render-admin.ts';
import { renderRules } from '../../src/bot/sentences/render-rules.ts';
import { StudioLinks } from '../../src/bot/studio-links.ts';
import type { Answer } from '../../src/bot/upkeep/delivery.ts';
import type { ForgetTools } from '../../src/bot/upkeep/forget.ts';
import type { JobClient, QueueTerms } from '../../src/queue/client.ts';
import { RuleStore } from '../../src/queue/community-rules.ts';
import type { Artifact } from '../../src/queue/jobs.ts';
import type { LedgerEntry } from '../../src/queue/ledger.ts';
import { SignInLinks } from '../../src/queue/sign-in-links.ts';
import { optionsAsWords } from '../../src/request/options-text.ts';
import { encodeVideo } from '../../src/video/encode.ts';
import type { Generate } from '../../src/worker/worker.ts';
import { artifactOf, eventually, Harness, log, openTerms } from './queue-harness.ts';
import { ffmpegPath, texture } from './video-fixture.ts';

export const pictureBytes = async (name = 'grey.jpg'): Promise<Uint8Array> =>
  await readFile(fileURLToPath(new URL(`../fixtures/pictures/${name}`, import.meta.url)));

export const ann: Person = { userKey: 'test:ann', roleKeys: [], locale: 'en-US', isAdmin: false };
export const bob: Person = { ...ann, userKey: 'test:bob' };
export const root: Person = { ...ann, userKey: 'test:root', isAdmin: true };
export const mei: Person = { ...ann, userKey: 'test:mei', locale: 'zh-CN' };
export const here: Place = { communityKey: 'test:here', maxBytes: 10_000_000 };

/** What a person is shown about a request. */
type Shown = ReturnType<typeof renderRequest> & {
  readonly accepted: boolean;
  readonly isDuplicate?: boolean;
};

/** The services as a person meets them: every value is rendered in the person's language. */
class Conversation {
  readonly #services: Services;

  constructor(services: Services) {
    this.#services = services;
  }

  async ask(request: ChatRequest): Promise<Shown> {
    return shown(await this.#services.requests.submit(request), request.person);
  }

  async askAgain(
    entry: LedgerEntry,
    action: AgainAction,
    origin: RequestOrigin,
    changes = {},
  ): Promise<Shown> {
    return shown(await this.#services.requests.submitAgain(entry, action, origin, changes), origin.person);
  }

  async open(jobId: string, person: Person, action: Action): Promise<LedgerEntry | string> {
    const opened = await this.#services.buttons.open(jobId, person, action);
    return opened.kind === 'open' ? opened.entry : renderRefusal(opened.reason, messagesFor(person.locale));
  }

  async cancel(jobId: string, person: Person): Promise<string> {
    return renderCancelled(await this.#services.buttons.cancel(jobId, person), messagesFor(person.locale));
  }

  async transform(entry: LedgerEntry, action: 'smooth' | 'loop', person: Person, maxBytes: number) {
    const say = messagesFor(person.locale);
    const clip = await this.#services.buttons.transform(entry, action, maxBytes, async (made) => made);
    return clip.kind === 'refused'
      ? renderRefusal(clip.reason, say)
      : { ...clip, text: renderTransformed(clip, say) };
  }

  async remove(entry: LedgerEntry): Promise<void> {
    await this.#services.buttons.remove(entry);
  }

  settings(entry: LedgerEntry, person: Person): string {
    const command = `/animate ${optionsAsWords(entry.request.generation)}`;
    return `${renderSettings(entry, messagesFor(person.locale))}\n${command}`;
  }

  async waiting(entry: LedgerEntry) {
    const waiting = await waitingOf(entry, this.#services.client, (prompt) =>
      this.#services.requests.tipFor(prompt),
    );
    return waiting && renderWaiting(waiting, messagesOf(entry));
  }

  final(entry: LedgerEntry, answer: Answer) {
    const final = finalAnswer(entry, answer);
    const isSpoiler = final.kind === 'video' && final.isSpoiler;
    return { ...renderFinal(final, messagesOf(entry)), ...(isSpoiler ? { isSpoiler } : {}) };
  }

  async me(person: Person, place: Place) {
    return renderAccount(await this.#services.account.me(person, place), messagesFor(person.locale));
  }

  async queue(person: Person): Promise<string> {
    return renderQueue(await this.#services.account.queue(person), messagesFor(person.locale));
  }

  async forget(person: Person): Promise<string> {
    return renderDeleted(await this.#services.account.forget(person), messagesFor(person.locale));
  }

  async adminWords(person: Person, words: readonly string[]): Promise<string> {
    const command = parseAdminCommand(words, { platform: 'test' });
    const outcome = await this.#services.administration.admin(person, command);
    return renderAdmin(outcome, messagesFor(person.locale));
  }

  async ruleWords(person: Person, place: Place, words: readonly string[]): Promise<string> {
    const command = parseRuleCommand(words, { platform: 'test', channelKey: place.channelKey });
    const outcome = await this.#services.administration.rules(person, place, command);
    return renderRules(outcome, messagesFor(person.locale));
  }
}

function shown(outcome: RequestOutcome, { locale }: Person): Shown {
  const message = renderRequest(outcome, messagesFor(locale));
  if (outcome.kind === 'accepted') return { accepted: true, ...message };
  return { accepted: false, isDuplicate: outcome.kind === 'duplicate', ...message };
}

export class Talk {
  readonly harness: Harness;
  readonly client: JobClient;
  readonly admin: AdminTools;
  readonly services: Services;
  readonly conversation: Conversation;
  /** Fields that the next generations add to their artifact. */
  report: Partial<Artifact> = {};
  readonly #clip: string;
  readonly #forget: ForgetTools;

  private constructor(harness: Harness, terms: Partial<QueueTerms>, clip: string) {
    this.harness = harness;
    this.#clip = clip;
    this.client = harness.client(terms);
    const redis = harness.server.failFast();
    this.admin = adminTools(redis, this.client, { ...openTerms, ...terms }, log);
    const { artifacts, folder } = harness;
    const day = openTerms.day;
    const cacheFolder = join(folder, 'cache');
    const settings = { lookEveryMs: 20, cacheSettlesMs: 20 };
    const forgetTools = { redis, client: this.client, artifacts, cacheFolder, day, log, settings };
    this.#forget = { ...forgetTools, forgetUpdates: async () => {} };
    this.services = this.#newServices();
    this.conversation = new Conversation(this.services);
  }

  #newServices(): Services {
    const { admin } = this;
    const { redis, client, artifacts, day } = this.#forget;
    const rules = new RuleBook(new RuleStore(admin.trail));
    const models = new Models();
    return {
      redis,
      client,
      artifacts,
      models,
      requests: new Requests({ client, artifacts, rules, day, models, log }),
      buttons: new JobButtons(client, artifacts, ffmpegPath),
      account: new Account(admin, this.#forget, 30),
      administration: new Administration(admin, rules, log),
      isAdmin: async () => false,
      studio: new StudioLinks(new SignInLinks(this.#forget.redis), undefined, log),
    };
  }

  /** The answer of a fresh bot process, which has nothing in memory. */
  anotherProcess(): Conversation {
    return new Conversation(this.#newServices());
  }

  static async start(terms: Partial<QueueTerms> = {}, ...redisArguments: string[]): Promise<Talk> {
    const harness = await Harness.start(...redisArguments);
    const clip = join(harness.folder, 'clip.mp4');
    await mkdir(join(harness.folder, 'cache'));
    const shape = { width: 64, height: 64, fps: 8 };
    await encodeVideo(texture(8, 64, 64), { ...shape, outPath: clip, ffmpegPath });
    return new Talk(harness, terms, clip);
  }

  /** Each generation copies the clip and adds the fields of `report`. */
  generate: Generate = async (entry, files) => {
    await copyFile(this.#clip, files.video);
    return { ...artifactOf(entry, (await stat(files.video)).size), ...this.report };
  };

  async ask(jobId: string, over: Partial<ChatRequest> = {}): Promise<Shown> {
    const picture = over.picture ?? (await pictureBytes());
    const options = { prompt: 'waves rolling', ...over.options };
    const ask = { jobId, person: ann, place: here, replyTo: { chat: 1 }, ...over, picture, options };
    return await this.conversation.ask(ask);
  }

  /** The entry of a job whose answer has been delivered. */
  async delivered(jobId: string): Promise<LedgerEntry> {
    await eventually(`${jobId} is delivered`, async () => {
      return (await this.client.ledger.read(jobId))?.deliveredAt !== undefined;
    });
    return await this.entry(jobId);
  }

  async entry(jobId: string): Promise<LedgerEntry> {
    const entry = await this.client.ledger.read(jobId);
    if (!entry) throw new Error(`${jobId} is not in the ledger`);
    return entry;
  }

  async stop(): Promise<void> {
    await this.admin.mode.close();
    await this.harness.stop();
  }
}
