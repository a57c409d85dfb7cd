/**
 * Where a clip enters the noise schedule: at its start with noise alone, or part-way down with the latents of an earlier
 * clip. A clip of a pack with draws enters at the start, without noise. Decides the steps of the run. Knows neither text nor pixels. Shapes as in i2vgen-xl.ts.
 */
import { KinoraError } from '../../errors.ts';
import type { GenerateRequest } from '../image-to-video.ts';
import type { OpenPack } from '../packs/open.ts';
import { TorchGenerator } from '../random.ts';
import { createScheduler } from '../schedulers/create-scheduler.ts';
import { startIndex } from '../schedulers/scheduler.ts';
import { combine } from '../sessions/combine.mjs';
import type { FloatTensor } from '../sessions/tensor.ts';
import { type DenoisingStep, planSteps } from './denoising-plan.ts';
import { earlierClip } from './earlier-clip.ts';
import type { Run } from './run.ts';

export interface ScheduleEntry {
  readonly steps: readonly DenoisingStep[];
  /** (1, C, F, h, w) with as much noise as the first step expects */
  readonly latents: FloatTensor;
}

/**
 * @param pictureKey of the clip's picture: a variation needs the one of the earlier clip
 * @param isBatched whether both rows of guidance go through the UNet at once
 */
export async function enterSchedule(
  pack: OpenPack,
  request: GenerateRequest,
  pictureKey: string,
  isBatched: boolean,
  run: Run,
): Promise<ScheduleEntry> {
  const { numInferenceSteps, guidanceScale, guidanceEnd, featureReuse, seed } = request;
  const isDrawn = pack.optionalInputs.has('draws');
  const variation = isDrawn ? undefined : request.variation;
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
    scale: guidanceScale,
    steps: guidanceScale > 1 ? Math.ceil(numInferenceSteps * guidanceEnd) : 0,
    isBatched,
  };
  const steps = planSteps({ scheduler, firstStep, guidance, featureReuse });

  const dims = latentDims(pack, request);
  const length = dims.reduce((product, size) => product * size, 1);
  // The draws have said all that noise could, which would take a second for a clip of three seconds.
  if (isDrawn) return { steps, latents: { data: new Float32Array(length), dims } };
  const earlier = variation && (await earlierLatents(pack, variation.videoId, pictureKey, dims, run));
  // From a fresh stream with the user's seed, as diffusers draws it from a fresh generator.
  const noise = new TorchGenerator(seed).randn(length);
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
  return { steps, latents: { data: noise, dims } };
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
