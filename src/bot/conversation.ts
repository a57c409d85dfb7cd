/**
 * What Kinora says and does in a chat, whatever the chat is: requests, buttons, commands and admin words become queue
 * calls and plain sentences. Adapters bring people, places and pictures, and show what comes back. Knows no platform.
 */
import { randomInt } from 'node:crypto';
import { access, copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ZodError } from 'zod';
import { isKinoraError, serializeError } from '../errors.ts';
import type { PackManifest } from '../inference/packs/manifest.ts';
import { readImageHeader } from '../inference/pictures/decode.ts';
import type { Logger } from '../log.ts';
import type { Artifacts } from '../queue/artifacts.ts';
import type { JobClient, Submission } from '../queue/client.ts';
import type { QueueEvent } from '../queue/events.ts';
import { type Artifact, type JobRequest, jobIdSchema } from '../queue/jobs.ts';
import type { LedgerEntry } from '../queue/ledger.ts';
import { msUntilNextDay } from '../queue/quota-day.ts';
import { generalPresets, type Preset } from '../request/presets.ts';
import type { Generation } from '../request/request.ts';
import { resolveRequest, variationStrengths } from '../request/resolve.ts';
import { loopVideo, smoothVideo } from '../video/transform.ts';
import { type AdminTools, runAdminWords } from './admin/commands.ts';
import { runRuleWords } from './admin/rule-commands.ts';
import { brokenRule, type RuleBook } from './admin/rules.ts';
import { type ChatOptions, describeOptions, optionsAsWords, parseOptions, toGeneration } from './options.ts';
import { promptHelp } from './prompt-help.ts';
import { type Messages, messagesFor } from './sentences/catalogue.ts';
import type { Answer } from './upkeep/delivery.ts';
import { type ForgetTools, forgetUser } from './upkeep/forget.ts';

export interface Person {
  /** "<platform>:<id>" */
  readonly userKey: string;
  /** "<platform>:<role id>", for allowances by role. */
  readonly roleKeys: readonly string[];
  /** As the platform gives it: "en-US", "zh-CN", "de". */
  readonly locale: string;
  /** By the configuration's user and role ids, never by the platform's own permissions. */
  readonly isAdmin: boolean;
  /** Of the community they speak in, by the platform's own permissions; asked for only where rules are changed. */
  readonly isModerator?: boolean;
}

export interface Place {
  /** Server or group; absent in private chats. */
  readonly communityKey?: string;
  /** Within the community: "<platform>:<id>". A thread's is that of the channel it belongs to. */
  readonly channelKey?: string;
  /** Absent where the platform has no such channels. */
  readonly isAgeRestricted?: boolean;
  /** Absent where the platform has roles. */
  readonly hasRoles?: false;
  /** Largest file that can be posted there. */
  readonly maxBytes: number;
}

export const actions = [
  'cancel',
  'reroll',
  'remix',
  'subtle',
  'strong',
  'settings',
  'smooth',
  'loop',
  'delete',
] as const;
export type Action = (typeof actions)[number];

/** Its id is made of action and job id, so that it works after a restart and weeks later. */
export interface Button {
  readonly action: Action;
  readonly jobId: string;
  readonly label: string;
}

export function buttonId({ action, jobId }: Pick<Button, 'action' | 'jobId'>): string {
  return `${action}:${jobId}`;
}

export function parseButtonId(id: string): { action: Action; jobId: string } | undefined {
  const [name, jobId] = id.split(':');
  const action = actions.find((known) => known === name);
  return action && jobId ? { action, jobId } : undefined;
}

/** Plain text, to be escaped by the adapter, and what can be pressed under it. */
export interface ChatMessage {
  readonly text: string;
  readonly buttons: readonly Button[];
}

/** Where the answer goes: the adapter's own data. Never a token. */
export type ReplyTo = Readonly<Record<string, string | number | boolean>>;

export interface Ask {
  /** Made from the message or interaction: the same id is the same job. */
  readonly jobId: string;
  readonly person: Person;
  readonly place: Place;
  /** The picture as it was received, or the job whose picture it is. */
  readonly picture: Uint8Array | { readonly ofJob: string };
  readonly options: ChatOptions;
  readonly replyTo: ReplyTo;
  /** Parameters that options cannot name, from an earlier job. */
  readonly base?: Generation;
  /** What that job took for results that this one may find in the cache. */
  readonly earlier?: JobRequest['earlier'];
}

/** A request that came to nothing is over: its message has no buttons, and nobody is charged. */
export type AskAnswer = ChatMessage & {
  readonly accepted: boolean;
  /** The same request was taken before: its message is there, or was lost on the way. */
  readonly isDuplicate?: boolean;
};

/** The words and buttons under a video, which may have to be posted behind a cover. */
export type FinalMessage = ChatMessage & { readonly isSpoiler?: true };

export interface ConversationTools {
  readonly client: JobClient;
  readonly artifacts: Artifacts;
  readonly admin: AdminTools;
  readonly rules: RuleBook;
  readonly forget: ForgetTools;
  readonly ffmpegPath: string;
  readonly retentionDays: number;
  /** Of the workers' model pack, where it is known. */
  readonly manifest?: PackManifest;
  readonly log: Logger;
}

/** Kept below every limit that is known, since a fallback may have a smaller one than the place of the request. */
const uploadMargin = 0.95;
const barWidth = 12;
/** Buttons promise "×3". */
const smoothFactor = 3;
/** In characters. Captions have a limit; "Settings" shows all of it. */
const shownPrompt = 300;
const listedPrompt = 60;
const listedJobs = 10;
const cancelButtons = 5;
/** Less is not worth a word. */
const leastSavedMs = 50;

export class Conversation {
  readonly #tools: ConversationTools;
  #lastTransform: Promise<unknown> = Promise.resolve();

  constructor(tools: ConversationTools) {
    this.#tools = tools;
  }

  messages(person: Pick<Person, 'locale'>): Messages {
    return messagesFor(person.locale);
  }

  /** Validates and queues. Never throws for what a person can cause. */
  async ask(ask: Ask): Promise<AskAnswer> {
    const { client, artifacts, manifest, log } = this.#tools;
    const { jobId, person, place } = ask;
    const say = this.messages(person);
    try {
      const options = parseOptions(ask.options);
      const generation: Generation = {
        prompt: '',
        preset: 'standard',
        ...ask.base,
        ...toGeneration(options, ask.base),
        seed: options.seed ?? ask.base?.seed ?? randomInt(2 ** 32),
        maxBytes: Math.floor(place.maxBytes * uploadMargin),
      };
      // While nobody knows what is allowed, nothing is.
      const rules = place.communityKey ? await this.#tools.rules.of(place.communityKey) : undefined;
      if (rules === 'unavailable') return { accepted: false, text: say.refusal.unavailable, buttons: [] };
      const { channelKey, isAgeRestricted } = place;
      const presets = { ...generalPresets, ...manifest?.presets };
      const ruled = { roleKeys: person.roleKeys, channelKey, isAgeRestricted, generation, presets };
      const broken = rules && brokenRule(rules, ruled, say);
      if (broken !== undefined) {
        // What was accepted before the rule was made stays accepted.
        const isDuplicate = (await client.ledger.read(jobId).catch(() => undefined)) !== undefined;
        const text = isDuplicate ? say.refusal.duplicate : broken;
        return { accepted: false, isDuplicate, text, buttons: [] };
      }
      const source =
        ask.picture instanceof Uint8Array ? ask.picture : artifacts.files(ask.picture.ofJob).image;
      if (typeof source === 'string' && !(await exists(source))) {
        return { accepted: false, text: say.refusal.gone, buttons: [] };
      }
      // A picture that cannot be animated is refused before it waits.
      const picture = await readImageHeader(source);
      if (manifest) resolveRequest(manifest, generation, picture);
      if (typeof source !== 'string') await artifacts.storeImage(jobId, source);
      else await this.#copyPicture(source, jobId);
      const submission = await client.submit({
        id: jobId,
        userKey: person.userKey,
        roleKeys: [...person.roleKeys],
        ...(place.communityKey ? { communityKey: place.communityKey } : {}),
        generation,
        locale: person.locale,
        isPrivate: options.isPrivate ?? false,
        isSpoiler: rules?.isSpoiler ?? false,
        earlier: ask.earlier,
        replyTo: ask.replyTo,
      });
      if (submission.decision !== 'accepted') {
        // One that cannot be reached may know the job already: its picture stays, until housekeeping finds it unused.
        const mayBeKnown = submission.decision === 'duplicate' || submission.decision === 'unavailable';
        if (!mayBeKnown) await artifacts.remove(jobId);
        const isDuplicate = submission.decision === 'duplicate';
        return { accepted: false, isDuplicate, text: this.refusal(submission, say), buttons: [] };
      }
      const { place: position, cost, left } = submission;
      const lines = [this.#position(position, say), say.status.cost(cost, left)];
      if (picture.notes.length > 0) lines.push(say.status.firstFrame);
      // Whoever asks for the same again knows it already.
      const isOld = generation.prompt === ask.base?.prompt;
      const tip = isOld ? undefined : promptHelp(generation.prompt, say);
      if (tip) lines.push(tip);
      return { accepted: true, text: lines.join('\n'), buttons: [this.#button('cancel', jobId, say)] };
    } catch (error) {
      if (!isKinoraError(error)) log.error({ jobId, err: error }, 'a request failed');
      return { accepted: false, text: this.failure(error, say), buttons: [] };
    }
  }

  async #copyPicture(from: string, jobId: string): Promise<void> {
    const { folder, image } = this.#tools.artifacts.files(jobId);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await copyFile(from, image);
  }

  /** The earlier job that a button belongs to, when this person may press it; otherwise the sentence why not. */
  async open(jobId: string, person: Person, action: Action): Promise<LedgerEntry | string> {
    const say = this.messages(person);
    // The id comes from a button, and whoever sent that may have made it up.
    if (!jobIdSchema.safeParse(jobId).success) return say.refusal.gone;
    let entry: LedgerEntry | undefined;
    try {
      entry = await this.#tools.client.ledger.read(jobId);
    } catch (error) {
      // Entries of a version that we do not understand are as good as gone.
      return error instanceof ZodError ? say.refusal.gone : say.refusal.unavailable;
    }
    if (!entry) return say.refusal.gone;
    const isPublic = action === 'settings' && !entry.request.isPrivate;
    const mayPress = isPublic || person.isAdmin || entry.request.userKey === person.userKey;
    return mayPress ? entry : say.refusal.notYours;
  }

  /** A new job from an earlier one: everything is kept but the seed, and what `changes` says. */
  async askAgain(
    entry: LedgerEntry,
    action: 'reroll' | 'remix' | 'subtle' | 'strong',
    ask: Omit<Ask, 'picture' | 'options' | 'base' | 'earlier'>,
    changes: ChatOptions = {},
  ): Promise<AskAnswer> {
    const { variation: _, seed: earlierSeed, ...rest } = entry.request.generation;
    const base: Generation = { ...rest, seed: action === 'remix' ? earlierSeed : randomInt(2 ** 32) };
    if (action === 'subtle' || action === 'strong') {
      const videoId = entry.artifact?.videoId;
      if (!videoId) return { accepted: false, text: this.messages(ask.person).refusal.gone, buttons: [] };
      base.variation = { videoId, strength: variationStrengths[action] };
      Object.assign(base, asItWasMade(entry, { ...generalPresets, ...this.#tools.manifest?.presets }));
    }
    // What was private stays so, unless the changes say otherwise.
    const options = { ...changes, isPrivate: changes.isPrivate ?? entry.request.isPrivate };
    return await this.ask({ ...ask, earlier: timeTaken(entry), picture: { ofJob: entry.id }, options, base });
  }

  /** Smooths or loops a finished clip, without the queue and without a model. */
  async transform(
    entry: LedgerEntry,
    action: 'smooth' | 'loop',
    person: Person,
    maxBytes: number,
  ): Promise<{ readonly file: string; readonly text: string; readonly isSpoiler?: true } | string> {
    const { artifacts, ffmpegPath } = this.#tools;
    const say = this.messages(person);
    if (!(await artifacts.readRecord(entry.id))) return say.refusal.gone;
    const { video, folder } = artifacts.files(entry.id);
    const file = join(folder, `${action}.mp4`);
    const options = { ffmpegPath, maxBytes: Math.floor(maxBytes * uploadMargin) };
    // One after the other: the cores belong to the model, and pressing often must not start many.
    const turn = this.#lastTransform.then(() =>
      action === 'smooth' ? smoothVideo(video, file, smoothFactor, options) : loopVideo(video, file, options),
    );
    this.#lastTransform = turn.catch(() => {});
    try {
      const { fitted } = await turn;
      const text = action === 'smooth' ? say.result.smoothed : say.result.looped;
      return { file, text: fitted ? `${text} ${say.result.compressed}` : text, ...spoiler(entry) };
    } catch (error) {
      return this.failure(error, say);
    }
  }

  /** All parameters, in a form that can be sent again. */
  settings(entry: LedgerEntry, person: Person): string {
    const say = this.messages(person);
    const { generation } = entry.request;
    const lines = [say.settings.title, ...describeOptions(generation, entry.artifact, say)];
    return [...lines, say.settings.copy, `/animate ${optionsAsWords(generation)}`].join('\n');
  }

  async cancel(jobId: string, person: Person): Promise<string> {
    const say = this.messages(person);
    if (!jobIdSchema.safeParse(jobId).success) return say.refusal.gone;
    try {
      const answer = await this.#tools.client.cancel(jobId, person.userKey, person.isAdmin);
      if (answer === 'unknown') return say.refusal.gone;
      if (answer === 'forbidden') return say.refusal.notYours;
      return answer === 'finished' ? say.refusal.finished : say.status.cancelling;
    } catch {
      return say.refusal.unavailable;
    }
  }

  /** Removes the files of a finished job; the adapter removes the message. */
  async remove(entry: LedgerEntry): Promise<void> {
    await this.#tools.artifacts.remove(entry.id);
  }

  /** What the status message of a running job says now. */
  progress(event: Extract<QueueEvent, { type: 'progress' }>, locale: string): ChatMessage {
    const say = messagesFor(locale);
    const { phase, done, total, leftMs } = event;
    const text = {
      loading: () => say.status.loading,
      encoding: () => say.status.encoding,
      denoising: () => say.status.denoising(bar(done, total), done, total),
      decoding: () => say.status.decoding(done, total),
      finishing: () => say.status.finishing,
    }[phase]();
    const left = leftMs === undefined || done >= total ? '' : ` · ${say.status.left(leftMs)}`;
    return { text: `${text}${left}`, buttons: [this.#button('cancel', event.jobId, say)] };
  }

  /** What the status message of a waiting job says now; undefined when it does not wait. */
  async waiting(
    entry: Pick<LedgerEntry, 'id' | 'preset' | 'request'>,
    locale: string,
  ): Promise<ChatMessage | undefined> {
    const say = messagesFor(locale);
    const position = await this.#tools.client.place(entry);
    if (!position) return undefined;
    const { generation, earlier } = entry.request;
    // Whoever asks for the same again knows it already.
    const tip = earlier ? undefined : promptHelp(generation.prompt, say);
    const text = [this.#position(position, say), ...(tip ? [tip] : [])].join('\n');
    return { text, buttons: [this.#button('cancel', entry.id, say)] };
  }

  /** The final answer's words and buttons. */
  final(entry: LedgerEntry, answer: Answer): FinalMessage {
    const say = messagesFor(localeOf(entry));
    if (answer.kind === 'cancelled') return { text: say.result.cancelled, buttons: [] };
    if (answer.kind === 'failure') {
      const { code, message } = answer.failure;
      return { text: `${say.failure(code, message)} ${say.result.refunded}`, buttons: [] };
    }
    const { artifact } = answer;
    const prompt = shorten(entry.request.generation.prompt, shownPrompt);
    const seconds = say.duration(artifact.timings['total'] ?? 0);
    const preset = artifact.reducedTo ?? entry.preset;
    const lines = [say.result.caption({ prompt, seed: artifact.seed, preset, seconds, cost: entry.cost })];
    const reused = this.#reused(entry, artifact, say);
    if (reused) lines.push(reused);
    if (artifact.reducedTo !== undefined) lines.push(say.result.reduced(artifact.reducedTo));
    if (artifact.isCompressed) lines.push(say.result.compressed);
    const buttons = actions
      .filter((action) => action !== 'cancel')
      .map((action) => this.#button(action, entry.id, say));
    return { text: lines.join('\n'), buttons, ...spoiler(entry) };
  }

  /** What did not have to be computed again, and the time that saved against the earlier job. */
  #reused({ request }: LedgerEntry, { cache, timings }: Artifact, say: Messages): string | undefined {
    const picture = cache.hits.includes('image');
    const video = cache.hits.includes('video');
    if (!picture && !video) return undefined;
    const { encodingMs: encoding = 0, denoiseMs: denoise = 0 } = request.earlier ?? {};
    const savedMs =
      (picture ? Math.max(0, encoding - encodingMs(timings)) : 0) +
      (video ? Math.max(0, denoise - (timings['denoise'] ?? 0)) : 0);
    const what = [...(picture ? [say.result.picture] : []), ...(video ? [say.result.video] : [])];
    return say.result.reused(what, savedMs >= leastSavedMs ? (savedMs / 1000).toFixed(1) : undefined);
  }

  async me(person: Person, place: Place): Promise<ChatMessage> {
    const { admin, client } = this.#tools;
    const say = this.messages(person);
    try {
      const quota = await admin.quotas.quotaOf(person.userKey, {
        roles: person.roleKeys,
        ...(place.communityKey ? { community: place.communityKey } : {}),
      });
      const lines = [say.me.credits(quota.used, quota.limit, quota.granted)];
      const pending = await client.ledger.pendingOf(person.userKey);
      lines.push(pending.length === 0 ? say.me.none : say.me.jobs);
      for (const { state, request } of pending.slice(0, listedJobs)) {
        lines.push(`• ${say.me.job(say.me.states[state], shorten(request.generation.prompt, listedPrompt))}`);
      }
      if (pending.length > listedJobs) lines.push(say.me.more(pending.length - listedJobs));
      lines.push(say.me.id(person.userKey));
      const buttons = pending.slice(0, cancelButtons).map(({ id, request }) => ({
        ...this.#button('cancel', id, say),
        label: `${say.buttons.cancel}: ${shorten(request.generation.prompt, 20) || id.slice(-6)}`,
      }));
      return { text: lines.join('\n'), buttons };
    } catch (error) {
      return { text: this.#unavailable(error, say), buttons: [] };
    }
  }

  async queue(person: Person): Promise<string> {
    const { admin, client } = this.#tools;
    const say = this.messages(person);
    try {
      const stats = await admin.stats();
      const waiting = [...stats.waiting.values()].reduce((sum, count) => sum + count, 0);
      const lines = stats.mode === 'running' ? [] : [say.queue[stats.mode]];
      lines.push(waiting + stats.running === 0 ? say.queue.empty : say.queue.summary(waiting, stats.running));
      const pending = await client.ledger.pendingOf(person.userKey);
      for (const entry of pending.slice(0, listedJobs)) {
        const position = await client.place(entry);
        if (!position) continue;
        const left = position.leftMs === undefined ? '' : say.duration(position.leftMs);
        lines.push(say.queue.yours(position.ahead, left));
      }
      return lines.join('\n');
    } catch (error) {
      return this.#unavailable(error, say);
    }
  }

  privacy(person: Person): string {
    return this.messages(person).privacy.text(this.#tools.retentionDays);
  }

  /** "Delete everything", after the person has confirmed it. */
  async forget(person: Person): Promise<string> {
    const say = this.messages(person);
    try {
      const { jobs, unfinished } = await forgetUser(person.userKey, this.#tools.forget);
      const { deleted, later } = say.privacy;
      return unfinished.length === 0 ? deleted(jobs) : `${deleted(jobs)} ${later(unfinished.length)}`;
    } catch (error) {
      return this.#unavailable(error, say);
    }
  }

  /** Words of an admin: "quota set user:discord:1 20", "ban telegram:7 24 spam", "pause". */
  async adminWords(person: Person, words: readonly string[]): Promise<string> {
    const say = this.messages(person);
    if (!person.isAdmin) return say.refusal.notAdmin;
    try {
      return await runAdminWords(this.#tools.admin, person.userKey, words, say);
    } catch (error) {
      return this.#unavailable(error, say);
    }
  }

  /** Words of a moderator, without the leading "rules": "show", "channels allow here", "words add foo". */
  async ruleWords(person: Person, place: Place, words: readonly string[]): Promise<string> {
    const say = this.messages(person);
    const { communityKey, channelKey, isAgeRestricted, hasRoles = true } = place;
    if (communityKey === undefined) return say.rules.notHere;
    if (!person.isModerator && !person.isAdmin) return say.rules.notModerator;
    const by = person.userKey;
    try {
      const given = {
        book: this.#tools.rules,
        by,
        communityKey,
        channelKey,
        isAgeRestricted,
        hasRoles,
        words,
        say,
      };
      return await runRuleWords(given);
    } catch (error) {
      return this.#unavailable(error, say);
    }
  }

  /** Sentence for what went wrong between us and Redis, if it was not the person's mistake. */
  #unavailable(error: unknown, say: Messages): string {
    if (isKinoraError(error)) return this.failure(error, say);
    this.#tools.log.warn({ err: String(error) }, 'a question to the queue failed');
    return say.refusal.unavailable;
  }

  /** Sentence for anything thrown; what is not ours becomes a general one. */
  failure(error: unknown, say: Messages): string {
    const { code, message } = serializeError(error);
    return say.failure(code, message);
  }

  refusal(submission: Exclude<Submission, { decision: 'accepted' }>, say: Messages): string {
    const { refusal } = say;
    switch (submission.decision) {
      case 'banned': {
        const until = submission.untilMs > 0 ? new Date(submission.untilMs).toISOString().slice(0, 16) : '';
        return refusal.banned(until && `${until.replace('T', ' ')} UTC`, submission.reason);
      }
      case 'queue-full':
        return refusal.queueFull(submission.limit);
      case 'user-full':
        return refusal.userFull(submission.limit);
      case 'community-full':
        return refusal.communityFull(submission.limit);
      case 'cooldown':
        return refusal.cooldown(submission.waitMs);
      case 'quota':
        return refusal.quota({
          ...submission,
          backInMs: msUntilNextDay(this.#tools.forget.day, Date.now()),
        });
      case 'disk-full':
        return refusal.diskFull;
      default:
        return refusal[submission.decision];
    }
  }

  #position({ ahead, leftMs }: { ahead: number; leftMs?: number }, say: Messages): string {
    const text = ahead === 0 ? say.status.next : say.status.waiting(ahead);
    return leftMs === undefined ? text : `${text}${say.status.readyIn(leftMs)}`;
  }

  #button(action: Action, jobId: string, say: Messages): Button {
    return { action, jobId, label: say.buttons[action] };
  }
}

/** A variation has the size and frames of its video, also where memory made that smaller than it was asked for. */
function asItWasMade(
  { artifact, request: { generation } }: LedgerEntry,
  presets: Readonly<Record<string, Preset | undefined>>,
): Partial<Generation> {
  const { reducedTo: preset = '' } = artifact ?? {};
  const made = presets[preset];
  if (!artifact || !made) return {};
  const asked = presets[generation.preset];
  const least = (name: 'numFrames' | 'numInferenceSteps'): number =>
    Math.min(made[name], generation[name] ?? asked?.[name] ?? made[name]);
  return {
    preset,
    size: `${artifact.width}x${artifact.height}`,
    numFrames: least('numFrames'),
    numInferenceSteps: least('numInferenceSteps'),
  };
}

function encodingMs(timings: Artifact['timings']): number {
  return (timings['encodeText'] ?? 0) + (timings['encodeImage'] ?? 0);
}

/**
 * What a job took for what a later one may find in the cache. A job that found its picture there took nothing itself,
 * so the time of the job before it counts.
 */
function timeTaken({ artifact, request }: LedgerEntry): JobRequest['earlier'] {
  if (!artifact) return undefined;
  const { timings } = artifact;
  const encoding = Math.max(encodingMs(timings), request.earlier?.encodingMs ?? 0);
  return { encodingMs: Math.round(encoding), denoiseMs: Math.round(timings['denoise'] ?? 0) };
}

/** As the community's rules were when it was asked. */
function spoiler({ request }: LedgerEntry): { readonly isSpoiler?: true } {
  return request.isSpoiler ? { isSpoiler: true } : {};
}

async function exists(file: string): Promise<boolean> {
  return await access(file).then(
    () => true,
    () => false,
  );
}

/** In whole characters. */
function shorten(text: string, most: number): string {
  const characters = [...text];
  return characters.length <= most
    ? text
    : `${characters
        .slice(0, most - 1)
        .join('')
        .trimEnd()}…`;
}

/** The language that the person asked in. */
export function localeOf(entry: LedgerEntry): string {
  return entry.request.locale;
}

function bar(done: number, total: number): string {
  const part = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
  const filled = Math.round(barWidth * part);
  return '▰'.repeat(filled) + '▱'.repeat(barWidth - filled);
}
