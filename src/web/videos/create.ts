/** Requests for a video over the API: the same requests as those of a chat, with an answer that is fetched. */
import type { FastifyRequest } from 'fastify';
import type { Models } from '../../bot/models.ts';
import type { Services } from '../../bot/platform.ts';
import { type Refused, refused } from '../../bot/refusals.ts';
import type { RequestOrigin, RequestOutcome } from '../../bot/requests.ts';
import { messagesFor } from '../../bot/sentences/catalogue.ts';
import type { PackManifest } from '../../inference/packs/manifest.ts';
import { defaultImageLimits } from '../../inference/pictures/header.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import type { OpenUploads } from '../../queue/open-uploads.ts';
import type { ChatOptions } from '../../request/request.ts';
import type { Caller } from '../caller.ts';
import type { Outgoing } from '../outgoing/outgoing.ts';
import { invalidParameter, ProblemError, refusalProblem } from '../problem.ts';
import { ignoredBy } from '../studio.ts';
import { maskOf, pictureOf } from './body.ts';
import type { EventTools } from './events.ts';
import { hashOf, type Repeatable, type Repetitions } from './idempotency.ts';
import { fetchPicture } from './picture-url.ts';
import {
  type AskedVideo,
  type CreateBody,
  type ExtensionBody,
  optionsOf,
  type RemixBody,
  type VariationBody,
  type Video,
} from './schemas.ts';
import { standingOf, videoOf } from './video.ts';

const surface = 'web';
/** A name of the model for clients that must send one. */
const anyModel = 'kinora';
/** No limit but that of files: nothing is posted anywhere. */
const place = { maxBytes: 4 * 1024 ** 3 };
export interface CreateTools extends EventTools {
  readonly services: Services;
  readonly repetitions: Repetitions;
  readonly outgoing: Outgoing;
  readonly openUploads: OpenUploads;
}

export async function createVideo(
  request: FastifyRequest,
  { input_reference, motion_mask, ...body }: CreateBody,
  caller: Caller,
  tools: CreateTools,
): Promise<AskedVideo> {
  const model = modelOf(body.model, tools.models);
  const chosen = { ...optionsOf(body), model };
  const options = withSeconds(chosen, body.seconds, tools.models.of(model));
  const picture = pictureOf(request.picture, input_reference);
  const mask = maskOf(request.mask, motion_mask);
  const isSent = picture instanceof Uint8Array;
  // What an address leads to may change; the request is the same.
  const asked = isSent ? body : { ...body, ...picture };
  const files = { picture: isSent ? picture : undefined, mask };
  const once = await tools.repetitions.of(request, hashOf('create', asked, files));
  const source = isSent ? picture : () => fetched(picture, caller, tools);
  const video = await submitOnce(once, caller, tools, (origin) =>
    tools.services.requests.submit({ ...origin, picture: source, mask, options }),
  );
  if (!isSent && 'upload' in picture) {
    const { userKey } = caller.person;
    // One that cannot be removed now goes in time.
    await tools.artifacts.uploads.remove(userKey, picture.upload).catch(() => {});
    await tools.openUploads.remove(userKey, picture.upload).catch(() => {});
  }
  return told(video, body, tools.models);
}

async function fetched(
  where: { readonly url: string } | { readonly upload: string },
  { person }: Caller,
  { artifacts, outgoing }: CreateTools,
): Promise<Uint8Array | Refused> {
  if ('url' in where) return await fetchPicture(where.url, outgoing);
  const { maxBytes } = defaultImageLimits;
  return (
    (await artifacts.uploads.read(person.userKey, where.upload, maxBytes)) ?? refused({ kind: 'noPicture' })
  );
}

/** The picture, and all else that is not said, of an earlier video. */
export async function remixVideo(
  request: FastifyRequest,
  earlier: LedgerEntry,
  { motion_mask, ...body }: RemixBody,
  caller: Caller,
  tools: CreateTools,
): Promise<AskedVideo> {
  const { fps } = earlier.request.generation;
  const model = modelOf(body.model, tools.models);
  const chosen = { fps, ...optionsOf(body), model };
  const options = withSeconds(chosen, body.seconds, tools.models.of(model ?? earlier.model));
  const mask = motion_mask === 'none' ? motion_mask : (maskOf(request.mask, motion_mask) ?? 'kept');
  const files = mask instanceof Uint8Array ? { mask } : {};
  const asked = mask === 'none' ? { ...body, motion_mask } : body;
  const once = await tools.repetitions.of(request, hashOf(`remix ${earlier.id}`, asked, files));
  const video = await submitOnce(once, caller, tools, (origin) =>
    tools.services.requests.submitAgain(earlier, 'remix', origin, options, mask),
  );
  return told(video, body, tools.models);
}

/** The same request with another seed. */
export async function rerollVideo(
  request: FastifyRequest,
  earlier: LedgerEntry,
  caller: Caller,
  tools: CreateTools,
): Promise<Video> {
  const once = await tools.repetitions.of(request, hashOf(`reroll ${earlier.id}`, {}));
  return await submitOnce(once, caller, tools, (origin) =>
    tools.services.requests.submitAgain(earlier, 'reroll', origin),
  );
}

/** The same video and what comes after it. */
export async function extendVideo(
  request: FastifyRequest,
  earlier: LedgerEntry,
  { video: _, ...body }: ExtensionBody,
  caller: Caller,
  tools: CreateTools,
): Promise<AskedVideo> {
  const { generation } = earlier.request;
  const { fps: _fps, ...options } = withSeconds(
    { fps: generation.fps, ...optionsOf(body) },
    body.seconds,
    tools.models.of(earlier.model),
  );
  const once = await tools.repetitions.of(request, hashOf(`extend ${earlier.id}`, body));
  const video = await submitOnce(once, caller, tools, (origin) =>
    tools.services.requests.submitAgain(earlier, 'extend', origin, options),
  );
  return told(video, body, tools.models);
}

/** The same video again, from a point part-way through its making. */
export async function varyVideo(
  request: FastifyRequest,
  earlier: LedgerEntry,
  { strength }: VariationBody,
  caller: Caller,
  tools: CreateTools,
): Promise<Video> {
  const once = await tools.repetitions.of(request, hashOf(`variation ${earlier.id}`, { strength }));
  return await submitOnce(once, caller, tools, (origin) =>
    tools.services.requests.submitAgain(earlier, strength, origin),
  );
}

async function submitOnce(
  once: Repeatable,
  caller: Caller,
  tools: CreateTools,
  submit: (origin: RequestOrigin) => Promise<RequestOutcome>,
): Promise<Video> {
  const { jobId } = once;
  const { person } = caller;
  const say = messagesFor(person.locale);
  const outcome = once.isAccepted
    ? ({ kind: 'duplicate' } as const)
    : await submit({ jobId, person, place, surface, replyTo: {} });
  if (outcome.kind === 'refused') throw refusalProblem(outcome.reason);
  if (outcome.kind === 'accepted') {
    await once.accepted();
    const { job, position, cost } = outcome;
    // Whoever was accepted is told so, also when Redis is away again; then the time is this machine's.
    const known = await tools.client.ledger.read(jobId).catch(() => undefined);
    const createdAt = known?.createdAt ?? Date.now();
    const entry = { ...job, state: 'waiting', cost, priority: 0, starts: 0, createdAt } as const;
    const { ahead, leftMs, isStranded } = position;
    return await videoOf(
      entry,
      { status: 'queued', progress: 0, ahead, leftMs, isStranded, running: undefined },
      tools,
      say,
    );
  }
  const entry = await tools.client.ledger.read(jobId);
  if (entry?.isWithdrawn) return await submitOnce(await once.renew(), caller, tools, submit);
  if (!entry || entry.isDiscarded) throw new ProblemError({ kind: 'videoNotFound' });
  await once.accepted();
  return await videoOf(entry, await standingOf(entry, tools.client), tools, say);
}

/** The video, and what its request chose in vain. */
function told(video: Video, body: Partial<CreateBody>, models: Models): AskedVideo {
  const manifest = models.of(video.model);
  const isChosen = (name: keyof CreateBody): boolean => body[name] !== undefined && body[name] !== '';
  return { ...video, ignored: manifest ? ignoredBy(manifest).filter(isChosen) : [] };
}

/** The id of the model that is asked for; undefined for any. */
function modelOf(model: string | undefined, models: Models): string | undefined {
  if (model === undefined || model === anyModel) return undefined;
  if (models.isOffered(model)) return model;
  throw new ProblemError({ kind: 'unknownModel', models: [anyModel, ...models.offered.map(({ id }) => id)] });
}

/** Frames for a length in seconds, at the frame rate that is chosen or the model's own. */
function withSeconds(
  options: ChatOptions,
  seconds: CreateBody['seconds'],
  manifest: PackManifest | undefined,
): ChatOptions {
  if (seconds === undefined || !manifest) return options;
  const wanted = Number(seconds);
  const fps = options.fps ?? manifest.defaults.fps;
  const numFrames = Math.round(wanted * fps);
  const allowed =
    options.numFrames === undefined
      ? manifest.limits.numFrames
      : { min: options.numFrames, max: options.numFrames };
  if (numFrames >= allowed.min && numFrames <= allowed.max) return { ...options, numFrames };
  const inSeconds = (frames: number): number => Number((frames / fps).toFixed(3));
  throw invalidParameter('seconds', {
    kind: 'outOfRange',
    what: 'seconds',
    min: inSeconds(allowed.min),
    max: inSeconds(allowed.max),
    isWhole: false,
    got: wanted,
  });
}
