/**
 * The denoising loop: carries out a plan of steps with the UNet's sessions. Knows neither text nor pixels. Shapes as in
 * i2vgen-xl.ts.
 */
import type { OpenPack } from '../packs/open.ts';
import type { PackSession } from '../residency/pack-session.ts';
import type { FloatTensor, Tensor } from '../sessions/tensor.ts';
import type { ThreadTensor } from '../sessions/thread-protocol.ts';
import type { ThreadTensors } from '../sessions/thread-tensors.ts';
import type { CoreInputs } from './core-inputs.ts';
import type { Factor, PlanTensor, Rows } from './denoising-plan.ts';
import type { ScheduleEntry } from './enter-schedule.ts';
import { present } from './parts.ts';
import type { Run } from './run.ts';

/**
 * @param entry the memory of its latents is taken
 * @returns the final latents (1, C, F, h, w)
 */
export async function denoise(
  pack: OpenPack,
  { steps, latents, drawNoise }: ScheduleEntry,
  inputs: CoreInputs,
  tensors: ThreadTensors,
  run: Run,
): Promise<ThreadTensor> {
  const { unet_core: unet, unet_shallow: shallowUNet } = pack.sessions;
  const deepFeatures = new Map<Rows, ThreadTensor>();
  const at: Record<PlanTensor, ThreadTensor> = {
    sample: tensors.put(latents),
    noisePred: tensors.empty(latents.dims),
    unconditional: tensors.empty(latents.dims),
    predOriginal: tensors.empty(latents.dims),
    lastPredOriginal: tensors.empty(latents.dims),
    prevSample: tensors.empty(latents.dims),
    noise: tensors.empty(latents.dims),
  };

  for (const step of steps) {
    // noisePred = unet(sample, timestep, …), then guidance: uncond + scale · (cond − uncond), then the first formula of
    // scheduler.step(noisePred, timestep, sample): all in the UNet's graph, whose factors the plan holds
    for (const { rows, factors, target } of step.runs) {
      const features = deepFeatures.get(rows) ?? tensors.empty();
      if (step.deepFeatures === 'kept') deepFeatures.set(rows, features);
      const session = step.deepFeatures === 'reused' ? present(shallowUNet) : unet;
      const feeds = {
        sample: at.sample,
        timestep: timestepOf(session, step.timestep),
        ...(await inputs.of(rows)),
        factors: factorsOf(session, factors, latents.dims[2] ?? 0),
        ...(step.deepFeatures === 'reused' ? { deep_features: features } : {}),
      };
      const into = {
        out_sample: at[target],
        ...(step.deepFeatures === 'kept' ? { deep_features: features } : {}),
      };
      await session.run(feeds, { into });
    }
    // The other formulas of scheduler.step
    const needsNoise = step.after.some(({ terms }) => terms.some(([, source]) => source === 'noise'));
    if (needsNoise) at.noise = tensors.put({ data: drawNoise(), dims: latents.dims });
    await tensors.compute(
      step.after.map(({ target, terms, ...rest }) => ({
        ...rest,
        target: at[target],
        terms: terms.map(([factor, source]) => [factor, at[source]] as const),
      })),
    );
    if (needsNoise) tensors.free([at.noise]);
    // sample = scheduler.step(…).prevSample. The UNet reads one while it writes the other.
    [at.sample, at.prevSample] = [at.prevSample, at.sample];
    [at.predOriginal, at.lastPredOriginal] = [at.lastPredOriginal, at.predOriginal];
    // Where guidance has ended, the features of its rows are not read again.
    for (const [rows, features] of deepFeatures) {
      if (step.runs.some((done) => done.rows === rows)) continue;
      tensors.free([features]);
      deepFeatures.delete(rows);
    }
    run.step();
  }
  return at.sample;
}

/** In the type that the graph has for it: whole steps of a schedule, or a function of the noise level. */
function timestepOf({ inputs }: Pick<PackSession, 'inputs'>, timestep: number): Tensor {
  const isWhole = inputs.find(({ name }) => name === 'timestep')?.type === 'int64';
  return isWhole
    ? { data: BigInt64Array.of(BigInt(timestep)), dims: [1] }
    : { data: Float32Array.of(timestep), dims: [1] };
}

/** (1 + B), or (1 + B, F) for a graph that takes one for every frame. */
function factorsOf(
  { inputs }: Pick<PackSession, 'inputs'>,
  factors: readonly Factor[],
  numFrames: number,
): FloatTensor {
  const isPerFrame = inputs.find(({ name }) => name === 'factors')?.dims.length === 2;
  const numbers = factors.flatMap((factor) =>
    typeof factor === 'number' && isPerFrame ? new Array<number>(numFrames).fill(factor) : factor,
  );
  return {
    data: Float32Array.from(numbers),
    dims: isPerFrame ? [factors.length, numFrames] : [factors.length],
  };
}
