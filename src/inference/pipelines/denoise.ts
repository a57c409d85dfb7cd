/**
 * The denoising loop: carries out a plan of steps with the UNet's sessions. Knows neither text nor pixels. Shapes as in
 * i2vgen-xl.ts.
 */
import type { OpenPack } from '../packs/open.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import type { ThreadTensor } from '../sessions/thread-protocol.ts';
import type { ThreadTensors } from '../sessions/thread-tensors.ts';
import type { Conditioning } from './conditioning.ts';
import type { DenoisingStep, PlanTensor, Rows } from './denoising-plan.ts';
import { present } from './parts.ts';
import type { Run } from './run.ts';

/**
 * @param latents (1, C, F, h, w) with as much noise as the first step expects; their memory is taken
 * @returns the final latents (1, C, F, h, w)
 */
export async function denoise(
  pack: OpenPack,
  steps: readonly DenoisingStep[],
  latents: FloatTensor,
  conditioning: Conditioning,
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
        timestep: { data: BigInt64Array.of(BigInt(step.timestep)), dims: [1] },
        ...(await conditioning.of(rows)),
        factors: { data: Float32Array.from(factors), dims: [factors.length] },
        ...(step.deepFeatures === 'reused' ? { deep_features: features } : {}),
      };
      const into = {
        out_sample: at[target],
        ...(step.deepFeatures === 'kept' ? { deep_features: features } : {}),
      };
      await session.run(feeds, { into });
    }
    // The other formulas of scheduler.step
    await tensors.compute(
      step.after.map(({ target, terms, ...rest }) => ({
        ...rest,
        target: at[target],
        terms: terms.map(([factor, source]) => [factor, at[source]] as const),
      })),
    );
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
