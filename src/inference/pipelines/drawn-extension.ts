/**
 * Drawn clips that go on from the end of an earlier one. They are drawn from the first picture again, not from the last
 * frame: that has been enlarged once already, and the flakes on it would stand still. The camera goes on from its last view
 * (continued-camera.ts); weather, waves and clouds go round in a clip, so they go on by themselves. Where the words or the
 * seed are others, the first frames fade from the earlier look to the new one, both seen by the same camera.
 */
import { type MotionKind, motionKinds } from '../../request/motions.ts';
import type { Understood } from '../../request/understood.ts';
import type { CacheEntry } from '../cache-file.ts';
import type { GenerateRequest } from '../image-to-video.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import { type Conditioning, type Drawing, wholeClip } from './conditioning.ts';
import { type CameraEnd, cameraEnd, continueCamera, type Halves } from './continued-camera.ts';
import {
  type DrawnClip,
  type DrawnEnd,
  type DrawnSeeds,
  drawnClipSchema,
  drawnSeeds,
  drawsOf,
} from './drawn-clip.ts';
import { type EarlierStill, stillView } from './drawn-still.ts';
import { earlierClip } from './earlier-clip.ts';
import { present } from './parts.ts';
import type { Run } from './run.ts';

/** What a clip is drawn by, and how its camera ends where the clip's own path does not say so. */
export interface DrawnPlan extends EarlierStill {
  readonly seeds: DrawnSeeds;
  readonly drawing: Drawing;
  readonly camera?: CameraEnd;
}

export type Words = Pick<GenerateRequest, 'prompt' | 'negativePrompt'>;

type Earlier = DrawnSeeds & DrawnEnd;

/** Draws one frame, by which the pack tells how the words would move the camera. */
const probe: Drawing = { positions: Float32Array.of(0) };

/**
 * @param draw what the request's own words look like
 * @param encodeWords other words; called where they are needed
 * @throws KinoraError VIDEO_NOT_FOUND, INVALID_OPTION when the earlier clip is of another picture
 */
export async function planDrawn(
  request: GenerateRequest,
  pictureKey: string,
  draw: (drawing: Drawing, seeds: DrawnSeeds) => Promise<Conditioning>,
  encodeWords: (words: Words) => Promise<FloatTensor>,
  run: Run,
): Promise<DrawnPlan> {
  const own = await drawnSeeds(request, pictureKey, run);
  if (!request.extension) return { seeds: own, drawing: wholeClip(request.numFrames) };
  const earlier = await earlierClip(request.extension.videoId, pictureKey, readEarlier, run);
  // Without a seed of its own an extension has the draws of its earlier clip.
  const seeds = own.details === earlier.details ? { ...own, course: earlier.course } : own;
  run.enter('denoising', 1);
  const probed = await draw(probe, seeds);
  const { numFrames, width, height, targetFps } = request;
  const [half, seen] = halves(request.pictureSize ?? { width, height }, { width, height });
  const path = present(probed.cameraPath);
  const still = earlier.still ? { still: earlier.still } : {};
  const { views, end: camera } = continueCamera(earlier.camera, path, numFrames, half, seen);
  // Position 0 was the last frame's. An evening that has come stays.
  const from = earlier.isEvening ? 1 : 0;
  const positions = Float32Array.from({ length: numFrames }, (_, k) => from + (k + 1) / numFrames);
  const drawing = { positions, views: views.data };
  const looksAlike =
    seeds.course === earlier.course &&
    seeds.details === earlier.details &&
    targetFps === earlier.targetFps &&
    sceneryOf(probed.understood, request) === earlier.scenery;
  if (looksAlike) return { seeds, drawing, camera, ...still };
  const fadesFrom = {
    promptEmbeds: await encodeWords({ prompt: earlier.prompt, negativePrompt: earlier.negativePrompt }),
    draws: drawsOf(earlier),
    targetFps: earlier.targetFps,
    numFrames: Math.ceil(numFrames / 3),
  };
  return { seeds, drawing: { ...drawing, fadesFrom }, camera, ...still };
}

/** Undefined where another version kept the clip, and nobody knows how it ended. */
function readEarlier({ meta }: CacheEntry): Earlier | undefined {
  const { end, courseSeed } = drawnClipSchema.safeParse(meta?.['drawn']).data ?? {};
  return end && courseSeed !== undefined
    ? { ...end, course: courseSeed, details: end.detailsSeed }
    : undefined;
}

/** What is kept of a clip. How it ended is left out where its pack cannot draw a view that it is given. */
export function keptDrawn(request: GenerateRequest, plan: DrawnPlan, conditioning: Conditioning): DrawnClip {
  const { seeds } = plan;
  const { understood, cameraPath } = conditioning;
  const { prompt, negativePrompt, targetFps, width, height, numFrames, pictureSize } = request;
  const size = { width, height, ...(pictureSize ? { pictureSize } : {}) };
  const clip = { courseSeed: seeds.course, ...size, numFrames };
  if (!cameraPath) return clip;
  const camera = plan.camera ?? cameraEnd(cameraPath, numFrames);
  // Without a mask all of the picture has gone along with the camera.
  const still = request.motionWeights ? stillView(request, plan, conditioning) : camera.view;
  const end = {
    camera,
    ...(still ? { still } : {}),
    detailsSeed: seeds.details,
    prompt,
    negativePrompt,
    targetFps,
    scenery: sceneryOf(understood, request),
    isEvening: understood?.done.some(({ motion }) => motion === 'dusk') ?? false,
  };
  return { ...clip, end };
}

const cameraMotions: ReadonlySet<MotionKind> = new Set(motionKinds.slice(0, motionKinds.indexOf('waves')));

/** Of a model that does not tell what it understood, other words are another scenery. */
function sceneryOf(understood: Understood | undefined, { prompt, negativePrompt }: GenerateRequest): string {
  if (!understood) return JSON.stringify([prompt, negativePrompt]);
  const others = understood.done.filter(({ motion }) => !cameraMotions.has(motion));
  return others.map(({ motion, speed }) => `${motion} ${speed}`).join();
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** Half sides of picture and frames, over half the picture's short side. */
function halves(picture: Size, frame: Size): readonly [Halves, Halves] {
  const short = Math.min(picture.width, picture.height);
  const over = ({ width, height }: Size): Halves => ({ x: width / short, y: height / short });
  return [over(picture), over(frame)];
}
