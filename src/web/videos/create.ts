/** Requests for a video over the API: the same requests as those of a chat, with an answer that is fetched. */
import { randomBytes } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { Services } from '../../bot/platform.ts';
import type { RequestOrigin, RequestOutcome } from '../../bot/requests.ts';
import { messagesFor } from '../../bot/sentences/catalogue.ts';
import type { PackManifest } from '../../inference/packs/manifest.ts';
import type { ChatOptions } from '../../request/request.ts';
import type { Caller } from '../caller.ts';
import { invalidParameter, ProblemError, refusalProblem } from '../problem.ts';
import { pictureOf } from './body.ts';
import { type CreateBody, optionsOf, type Video } from './schemas.ts';
import { standingOf, type VideoTools, videoOf } from './video.ts';

export const surface = 'web';
/** A name of the model for clients that must send one. */
const anyModel = 'kinora';
/** No limit but that of files: nothing is posted anywhere. */
const place = { maxBytes: 4 * 1024 ** 3 };
const idBytes = 12;

export const newVideoId = (): string => `video-${randomBytes(idBytes).toString('hex')}`;

export interface CreateTools extends VideoTools {
  readonly services: Services;
}

export async function createVideo(
  request: FastifyRequest,
  body: CreateBody,
  caller: Caller,
  tools: CreateTools,
): Promise<Video> {
  const { manifest, services } = tools;
  checkModel(body.model, manifest);
  const options = withSeconds(optionsOf(body), body.seconds, manifest);
  const picture = pictureOf(request, body);
  const origin = originOf(newVideoId(), caller);
  return await answerOf(await services.requests.submit({ ...origin, picture, options }), origin, tools);
}

export function originOf(
  jobId: string,
  { person }: Caller,
  replyTo: RequestOrigin['replyTo'] = {},
): RequestOrigin {
  return { jobId, person, place, surface, replyTo };
}

/** The video that a request became, without another look at Redis: whoever was accepted is told so. */
export async function answerOf(
  outcome: RequestOutcome,
  { jobId, person }: RequestOrigin,
  tools: VideoTools,
): Promise<Video> {
  const say = messagesFor(person.locale);
  if (outcome.kind === 'refused') throw refusalProblem(outcome.reason);
  if (outcome.kind === 'accepted') {
    const { job, position, cost } = outcome;
    const entry = { ...job, state: 'waiting', cost, priority: 0, starts: 0, createdAt: Date.now() } as const;
    const { ahead, leftMs } = position;
    return await videoOf(
      entry,
      { status: 'queued', progress: 0, ahead, leftMs, running: undefined },
      tools,
      say,
    );
  }
  const entry = await tools.client.ledger.read(jobId);
  if (!entry) throw new ProblemError({ kind: 'unavailable' });
  return await videoOf(entry, await standingOf(entry, tools.client), tools, say);
}

function checkModel(model: string | undefined, manifest: PackManifest | undefined): void {
  const models = [anyModel, ...(manifest ? [manifest.id] : [])];
  if (model !== undefined && !models.includes(model))
    throw new ProblemError({ kind: 'unknownModel', models });
}

/** Frames for a length in seconds, at the frame rate that is chosen or the model's own. */
export function withSeconds(
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
