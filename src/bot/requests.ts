/**
 * Requests for a video: checks one against the rules of its place and the limits of the model, stores its picture and
 * submits it to the queue. Also makes new requests of earlier jobs. Knows no platform.
 */
import { randomInt } from 'node:crypto';
import { isKinoraError } from '../errors.ts';
import type { PackManifest } from '../inference/packs/manifest.ts';
import { PictureDecoder } from '../inference/pictures/decoder-process.ts';
import type { ImageHeader } from '../inference/pictures/header.ts';
import { checkMaskShape, readMask } from '../inference/pictures/motion-mask.ts';
import type { Logger } from '../log.ts';
import type { Artifacts } from '../queue/artifacts.ts';
import type { JobClient } from '../queue/client.ts';
import { type JobRequest, jobRequestSchema, type waysAgain } from '../queue/jobs.ts';
import type { LedgerEntry } from '../queue/ledger.ts';
import { msUntilNextDay } from '../queue/quota-day.ts';
import type { QueuePosition } from '../queue/time-left.ts';
import { checkExtensionOptions, checkLength, framesAdded } from '../request/extension.ts';
import type { IgnorableOption } from '../request/ignorable-options.ts';
import { heeds, knownMotions, withEffect, withoutEffect } from '../request/model-limits.ts';
import { type PromptTip, promptTip } from '../request/prompt-tip.ts';
import { type ChatOptions, type Generation, toGeneration, variationStrengths } from '../request/request.ts';
import { resolveRequest } from '../request/resolve.ts';
import { type Cut, cutOf } from '../request/sizes.ts';
import { brokenRule, type ReadyRules, type RuleBook } from './admin/rules.ts';
import { uploadShare } from './buttons.ts';
import { asItWasMade, extensionOf, forAnotherModel, timeTaken } from './earlier-job.ts';
import type { Models } from './models.ts';
import { offeredBy } from './offered.ts';
import type { Person, Place } from './people.ts';
import { failed, type QueueRefusal, type Refused, refused } from './refusals.ts';
import type { Offered } from './sentences/en.ts';

/** The options that a text or a form names, or why it names none. */
export function optionsFrom(
  read: () => ChatOptions,
): { readonly kind: 'options'; readonly options: ChatOptions } | Refused {
  try {
    return { kind: 'options', options: read() };
  } catch (error) {
    return failed(error);
  }
}

export interface ChatRequest {
  /** Made from the message or interaction: the same id is the same job. */
  readonly jobId: string;
  readonly person: Person;
  readonly place: Place;
  /** The picture as it was sent, or what fetches it; or the job whose picture it is. */
  readonly picture: Uint8Array | (() => Promise<Uint8Array | Refused>) | { readonly ofJob: string };
  /** A picture of the same shape, white where the video may move; or the job whose mask it is. */
  readonly mask?: Uint8Array | (() => Promise<Uint8Array | Refused>) | { readonly ofJob: string } | undefined;
  /** Of an extension: the job whose video it continues, or which continues the same video. */
  readonly continues?: { readonly file: 'video' | 'earlier'; readonly ofJob: string } | undefined;
  /** The picture was sent under a cover, so its video is, too. */
  readonly isCovered?: boolean;
  /** As optionsFrom() gives them. */
  readonly options: ChatOptions;
  /** The platform that gives the answer, where it is not the one of the person's key. */
  readonly surface?: string;
  /** Where the answer goes: the adapter's own data. Never a token. */
  readonly replyTo: Readonly<Record<string, string | number | boolean>>;
  /** Parameters that options cannot name, from an earlier job. */
  readonly base?: Generation;
  /** That job, where it is the same person's, and what was done with it. */
  readonly madeFrom?: JobRequest['madeFrom'];
  /** What that job took for results that this one may find in the cache. */
  readonly earlier?: JobRequest['earlier'];
}

/** What an adapter knows of a request before its picture and options are read. */
export type RequestOrigin = Pick<ChatRequest, 'jobId' | 'person' | 'place' | 'surface' | 'replyTo'>;

/** What the status messages of a job need to know of it. */
export type TrackedJob = Pick<LedgerEntry, 'id' | 'preset' | 'model' | 'request'>;

export interface Accepted {
  readonly kind: 'accepted';
  readonly job: TrackedJob;
  readonly position: QueuePosition;
  readonly cost: number;
  /** Credits that are left today. */
  readonly left: number;
  /** The picture is an animation, of which only the first frame is used. */
  readonly isAnimated: boolean;
  /** What the video will not show of the picture, where the model is known. */
  readonly cut: Cut | undefined;
  readonly tip: PromptTip | undefined;
  /** What was chosen in vain: the model ignores it, so it is left out. */
  readonly ignored: readonly IgnorableOption[];
}

/** A refused request is over: nothing was charged. A duplicate has its message, or lost it on the way. */
export type RequestOutcome = Accepted | { readonly kind: 'duplicate' } | Refused;

export type AgainAction = (typeof waysAgain)[number];

/** Of a request like an earlier one: the earlier one's, none, or another. */
export type NewMask = 'kept' | 'none' | Uint8Array;

export interface RequestTools {
  readonly client: JobClient;
  readonly artifacts: Artifacts;
  readonly rules: RuleBook;
  /** Calendar day of the allowance, as QueueTerms.day. */
  readonly day: (now: number) => string;
  readonly models: Models;
  readonly log: Logger;
}

type StoredPicture = ImageHeader & { readonly kind: 'stored'; readonly cut: Cut | undefined };

const longestName = 64;
/** Of everybody together: the largest ones have 64 MiB each. */
const picturesAtOnce = 8;

export class Requests {
  readonly #tools: RequestTools;
  /** Started for the rare picture that the header says too little about. */
  readonly #decoder = new PictureDecoder();
  /** The latest request of each person who has one in hand. */
  readonly #turns = new Map<string, Promise<unknown>>();
  #fetching = 0;
  /** Requests that wait until fewer pictures are in memory. */
  readonly #waiting: (() => void)[] = [];

  constructor(tools: RequestTools) {
    this.#tools = tools;
  }

  /**
   * Validates and queues. Never throws for what a person can cause. The picture is fetched when nothing else speaks
   * against the request, and one of a person at a time: many at once would all find a free place, and all be fetched.
   */
  async submit(request: ChatRequest): Promise<RequestOutcome> {
    const { userKey } = request.person;
    const turn = (this.#turns.get(userKey) ?? Promise.resolve()).then(() => this.#submitSafely(request));
    this.#turns.set(userKey, turn);
    const outcome = await turn;
    if (this.#turns.get(userKey) === turn) this.#turns.delete(userKey);
    return outcome;
  }

  async #submitSafely(request: ChatRequest): Promise<RequestOutcome> {
    try {
      return await this.#submit(request);
    } catch (error) {
      if (!isKinoraError(error)) {
        this.#tools.log.error({ jobId: request.jobId, err: error }, 'a request failed');
      }
      return failed(error);
    }
  }

  /** A tip about a prompt, unless the model will tell what it understood of it. */
  tipFor(prompt: string, id?: string): PromptTip | undefined {
    const model = this.#tools.models.of(id);
    return knownMotions(model) || !heeds(model ?? {}, 'prompt') ? undefined : promptTip(prompt);
  }

  get offered(): Offered {
    return offeredBy(this.#tools.models, this.#tools.client);
  }

  async #submit(request: ChatRequest): Promise<RequestOutcome> {
    const { client, rules: book } = this.#tools;
    const { jobId, person, place, base, options } = request;
    const named = options.model ?? base?.model;
    const model = this.#tools.models.chosen(named);
    if (model && 'kind' in model) return model;
    const asked: Generation = {
      prompt: '',
      preset: 'standard',
      ...base,
      ...toGeneration(options, base),
      seed: options.seed ?? base?.seed ?? randomInt(2 ** 32),
      maxBytes: Math.floor(place.maxBytes * uploadShare),
      ...(named === undefined || !model ? {} : { model: model.id }),
    };
    const generation = withEffect(model ?? {}, asked);
    // While the rules cannot be read, nothing is allowed.
    const rules = place.communityKey ? await book.of(place.communityKey) : undefined;
    if (rules === 'unavailable') return refused('unavailable');
    // Words that the model will not read are words in a chat all the same.
    const broken = rules && (await this.#brokenRule(request, rules, asked, model?.id));
    if (broken) return broken;
    const job = jobRequestSchema.parse({
      id: jobId,
      userKey: person.userKey,
      userName: person.name?.slice(0, longestName),
      surface: request.surface,
      roleKeys: [...person.roleKeys],
      communityKey: place.communityKey,
      generation,
      model: model?.id,
      locale: person.locale,
      isPrivate: options.isPrivate,
      isSpoiler: request.isCovered || rules?.isSpoiler,
      hasMask: request.mask !== undefined,
      madeFrom: request.madeFrom,
      earlier: request.earlier,
      replyTo: request.replyTo,
    });
    // The queue decides once the picture is there; nothing is fetched for those whom it would refuse now.
    const objection = await client.look(job);
    if (objection && objection.decision !== 'duplicate') return await this.#notTaken(objection, job);
    const picture = objection ? undefined : await this.#storeInTurn(request, generation, model);
    if (picture?.kind === 'refused') return picture;
    const submission = await client.submit(job);
    if (submission.decision === 'duplicate' || !picture) return { kind: 'duplicate' };
    if (submission.decision !== 'accepted') {
      // Redis may know the job although it did not answer: its picture stays, until housekeeping finds it unused.
      if (submission.decision !== 'unavailable') await this.#tools.artifacts.remove(jobId);
      return await this.#notTaken(submission, job);
    }
    return {
      kind: 'accepted',
      job: {
        id: jobId,
        preset: generation.preset,
        ...(model ? { model: model.id } : {}),
        request: job,
      },
      position: submission.position,
      cost: submission.cost,
      left: submission.left,
      isAnimated: picture.notes.length > 0,
      cut: picture.cut,
      // A request for the same prompt again had its tip before.
      tip: generation.prompt === base?.prompt ? undefined : this.tipFor(generation.prompt, model?.id),
      ignored: withoutEffect(model ?? {}, options),
    };
  }

  async #notTaken(submission: QueueRefusal, job: JobRequest): Promise<Refused> {
    if (submission.decision === 'unavailable') return refused('unavailable');
    return refused({ kind: 'queue', submission, backInMs: await this.#backInMs(submission, job) });
  }

  async #backInMs(
    { decision }: QueueRefusal,
    { userKey, communityKey }: JobRequest,
  ): Promise<number | undefined> {
    const { day, client } = this.#tools;
    // A refusal is a refusal, also while nobody knows for how long.
    const untilOneEnds = async (ownerKey = userKey) =>
      await client.timeLeft.untilOneEnds(ownerKey).catch(() => undefined);
    switch (decision) {
      case 'quota':
        return msUntilNextDay(day, await client.time());
      case 'queue-full':
        return await untilOneEnds('all');
      case 'user-full':
        return await untilOneEnds();
      case 'community-full':
        return await untilOneEnds(communityKey);
      default:
        return undefined;
    }
  }

  async #storeInTurn(
    request: ChatRequest,
    generation: Generation,
    model: PackManifest | undefined,
  ): Promise<StoredPicture | Refused> {
    while (this.#fetching >= picturesAtOnce) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#fetching += 1;
    try {
      return await this.#storePicture(request, generation, model);
    } finally {
      this.#fetching -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** Fetches the picture and puts it into the job's folder. One that cannot be animated is refused before it waits. */
  async #storePicture(
    { jobId, picture, mask: given, continues }: ChatRequest,
    generation: Generation,
    model: PackManifest | undefined,
  ): Promise<StoredPicture | Refused> {
    const { artifacts } = this.#tools;
    const source = typeof picture === 'function' ? await picture() : picture;
    if ('kind' in source) return source;
    const isEarlier = 'ofJob' in source;
    if (isEarlier && !(await artifacts.hasImage(source.ofJob))) return refused('gone');
    const header = isEarlier
      ? await artifacts.with(source.ofJob, ['image'], ({ image }) => this.#decoder.check(image))
      : await this.#decoder.check(source);
    const clip = model && resolveRequest(model, generation, header);
    const { extension } = generation;
    if (clip && extension) checkLength(extension.numFrames + framesAdded(model, clip.numFrames), clip.fps);
    const mask = typeof given === 'function' ? await given() : given;
    if (mask && 'kind' in mask) return mask;
    if (mask instanceof Uint8Array) checkMaskShape(await readMask(() => this.#decoder.check(mask)), header);
    if (continues) {
      const { file, ofJob } = continues;
      await artifacts.copyEarlier(file, ofJob, jobId);
      await artifacts.copyLatents(
        file === 'video' ? 'latents' : 'earlierLatents',
        ofJob,
        'earlierLatents',
        jobId,
      );
    }
    if (isEarlier && generation.variation) {
      await artifacts.copyLatents('latents', source.ofJob, 'variedLatents', jobId);
    }
    if (isEarlier) await artifacts.copy('image', source.ofJob, jobId);
    else await artifacts.storeImage(jobId, source);
    if (mask instanceof Uint8Array) await artifacts.storeMask(jobId, mask);
    else if (mask) await artifacts.copy('mask', mask.ofJob, jobId);
    // Whether a clip passes along its picture, rather than cutting it, the model will say.
    return { kind: 'stored', ...header, cut: clip?.passage ? undefined : clip && cutOf(header, clip) };
  }

  /** Why the rules of the community refuse a request; a job that was accepted before the rule was made stays. */
  async #brokenRule(
    { jobId, person, place }: ChatRequest,
    rules: ReadyRules,
    generation: Generation,
    model: string | undefined,
  ): Promise<Refused | { readonly kind: 'duplicate' } | undefined> {
    const { channelKey, isAgeRestricted } = place;
    const { roleKeys, isChannel = false } = person;
    const ruled = { roleKeys, isChannel, channelKey, isAgeRestricted, generation };
    const rule = brokenRule(rules, { ...ruled, presets: this.#tools.models.presetsOf(model) });
    if (!rule) return undefined;
    const known = await this.#tools.client.ledger.read(jobId).catch(() => 'unreadable' as const);
    if (known === 'unreadable') return refused('unavailable');
    return known ? { kind: 'duplicate' } : refused({ kind: 'rule', rule });
  }

  /**
   * Submits a request like an earlier one: all is kept, its model too, but the seed, and what `changes` and `mask` say. An
   * extension keeps the seed, and only what decides its content can be changed.
   */
  async submitAgain(
    entry: LedgerEntry,
    action: AgainAction,
    origin: RequestOrigin,
    changes: ChatOptions = {},
    mask: NewMask = 'kept',
  ): Promise<RequestOutcome> {
    const { variation: _, seed: earlierSeed, ...rest } = entry.request.generation;
    const keepsSeed = action === 'remix' || action === 'extend';
    const same: Generation = { ...rest, seed: keepsSeed ? earlierSeed : randomInt(2 ** 32) };
    // A model that nobody chose may be gone without being missed: the default makes it then.
    const made = entry.model ?? entry.artifact?.model;
    const wanted = changes.model === undefined ? undefined : this.#tools.models.chosen(changes.model);
    const isOther = wanted !== undefined && 'id' in wanted && wanted.id !== made;
    const base = isOther ? forAnotherModel(same) : same;
    const isThere = made !== undefined && this.#tools.models.isOffered(made);
    if (isThere && base.model === undefined && made !== this.#tools.models.default?.id) base.model = made;
    if (action === 'subtle' || action === 'strong') {
      const videoId = entry.artifact?.videoId;
      if (!videoId) return refused('gone');
      base.variation = { videoId, strength: variationStrengths[action] };
      Object.assign(base, asItWasMade(entry, this.#tools.models.presetsOf(made)));
    }
    if (action === 'extend') {
      const checked = optionsFrom(() => {
        checkExtensionOptions(changes);
        return changes;
      });
      if (checked.kind === 'refused') return checked;
      const extension = extensionOf(entry);
      if (!extension) return refused('gone');
      Object.assign(base, { extension }, asItWasMade(entry, this.#tools.models.presetsOf(made)));
    }
    // A private job stays private, unless the changes say otherwise.
    const options = { ...changes, isPrivate: changes.isPrivate ?? entry.request.isPrivate };
    const earlier = timeTaken(entry);
    const picture = { ofJob: entry.id };
    const ofEarlier = entry.request.hasMask ? picture : undefined;
    // An admin's remix of somebody else's video names nothing of theirs.
    const isOwn = entry.request.userKey === origin.person.userKey;
    return await this.submit({
      ...origin,
      picture,
      continues: base.extension && {
        file: action === 'extend' ? 'video' : 'earlier',
        ofJob: entry.id,
      },
      mask: mask === 'none' ? undefined : mask === 'kept' ? ofEarlier : mask,
      isCovered: entry.request.isSpoiler,
      options,
      base,
      madeFrom: isOwn ? { jobId: entry.id, by: action } : undefined,
      earlier,
    });
  }
}
