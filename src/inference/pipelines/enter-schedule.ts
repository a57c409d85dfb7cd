/**
 * Where a clip enters the noise schedule: at its start with noise alone, or part-way down with the latents of an earlier
 * clip. Decides the steps of the run. Knows neither text nor pixels, and no family. Shapes as in i2vgen-xl.ts.
 */
import { KinoraError } from '../../errors.ts';
import type { Variation } from '../../request/resolve.ts';
import type { GenerateRequest } from '../image-to-video.ts';
import type { OpenPack } from '../packs/open.ts';
import { createScheduler } from '../schedulers/create-scheduler.ts';
import { startIndex } from '../schedulers/scheduler.ts';
import { combine } from '../sessions/combine.mjs';
import type { FloatTensor } from '../sessions/tensor.ts';
import { type DenoisingStep, type Factor, planSteps } from './denoising-plan.ts';
import { earlierClip } from './earlier-clip.ts';
import type { Run } from './run.ts';

export interface ScheduleEntry {
  readonly steps: readonly DenoisingStep[];
  /** (1, C, F, h, w) with as much noise as the first step expects */
  readonly latents: FloatTensor;
  /** Fresh normal numbers of that shape. */
  readonly drawNoise: () => Float32Array;
}

export interface EntryOptions {
  /** Of the clip's picture: a variation needs the one of the earlier clip. */
  readonly pictureKey: string;
  readonly variation: Variation | undefined;
  /** Guidance of all frames, or of each. */
  readonly scale: Factor;
  /** Both rows of guidance go through the UNet at once. */
  readonly isBatched: boolean;
  /** In the order in which the family draws them. */
  readonly drawNoise: (dims: readonly number[]) => Float32Array;
}

export async function enterSchedule(
  pack: OpenPack,
  request: GenerateRequest,
  { pictureKey, variation, scale, isBatched, drawNoise }: EntryOptions,
  run: Run,
): Promise<ScheduleEntry> {
  const { numInferenceSteps, guidanceScale, guidanceEnd, featureReuse } = request;
  const scheduler = createScheduler(request.scheduler, {
    config: pack.schedulerConfig,
    numInferenceSteps,
    // Few steps must begin at full noise, whatever the spacing of the many steps that the pack was made for.
    ...(request.scheduler === 'dpm++2m' ? { timestepSpacing: 'trailing' } : {}),
  });
  const firstStep = variation
    ? Math.min(startIndex(numInferenceSteps, variation.strength), numInferenceSteps - 1)
    : 0;
  const guidance = {
    scale,
    steps: guidanceScale > 1 ? Math.ceil(numInferenceSteps * guidanceEnd) : 0,
    isBatched,
  };
  const steps = planSteps({ scheduler, firstStep, guidance, featureReuse });

  const dims = latentDims(pack, request);
  const earlier = variation && (await earlierLatents(pack, variation.videoId, pictureKey, dims, run));
  const noise = drawNoise(dims);
  if (earlier) {
    const [ofOriginal, ofNoise] = scheduler.noiseFactors(firstStep);
    combine(
      [
        [ofNoise, noise],
        [ofOriginal, earlier],
      ],
      noise,
    );
  } else if (scheduler.initNoiseSigma !== 1) {
    combine([[scheduler.initNoiseSigma, noise]], noise);
  }
  return { steps, latents: { data: noise, dims }, drawNoise: () => drawNoise(dims) };
}

function latentDims(pack: OpenPack, { numFrames, width, height }: GenerateRequest): readonly number[] {
  const { latentChannels, vaeScaleFactor } = pack.manifest.architecture;
  return [1, latentChannels, numFrames, height / vaeScaleFactor, width / vaeScaleFactor];
}

/** @throws KinoraError VIDEO_NOT_FOUND, INVALID_OPTION when the clip does not fit */
async function earlierLatents(
  pack: OpenPack,
  videoId: string,
  pictureKey: string,
  dims: readonly number[],
  run: Run,
): Promise<Float32Array> {
  const earlier = await earlierClip(videoId, pictureKey, ({ tensors }) => tensors['latents'], run);
  if (earlier.dims.join() !== dims.join()) {
    const { vaeScaleFactor } = pack.manifest.architecture;
    const [, , numFrames = 0, h = 0, w = 0] = earlier.dims;
    const size = { width: w * vaeScaleFactor, height: h * vaeScaleFactor };
    throw new KinoraError('INVALID_OPTION', { kind: 'otherShape', videoId, numFrames, ...size });
  }
  return earlier.data;
}
