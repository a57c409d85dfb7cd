/**
 * Down the noise schedule: predictions of the UNet, guidance, the scheduler's steps, deep features that serve several of
 * them. The numbers lie in the session thread; here is said what is computed of what. Knows neither text nor pixels.
 * Shapes as in i2vgen-xl.ts.
 */
import type { GenerateRequest } from '../image-to-video.ts';
import type { KeptPart, KeptTensor, KeptTensors } from '../kept-tensors.ts';
import type { OpenPack } from '../model-pack.ts';
import type { Combination, Operand, Scheduler } from '../schedulers/scheduler.ts';
import { type FloatTensor, stack } from '../tensor.ts';
import { present } from './parts.ts';
import type { Run } from './run.ts';

/** What unet_cond computes for B clips; handed to unet_core unread. */
export type Conditioning = Readonly<Record<'fps_emb' | 'context' | 'image_latents_enc', KeptTensor>>;

/** How the steps use guidance. */
export interface Guidance {
  /** The steps before this one do. */
  readonly steps: number;
  /** Whether its halves go through the core as one batch of two, or one after the other because memory is short. */
  readonly isBatched: boolean;
  readonly scale: number;
}

/** Where one batch stays from step to step. */
interface Branch {
  readonly conditioning: Conditioning;
  readonly prediction: KeptTensor;
  readonly deepFeatures: KeptTensor;
}

/** Deep features are kept at the first step of a round and fed to the shallow core at the others. */
type CoreRun = 'whole' | 'first of round' | 'shallow';

export interface DenoiseInputs {
  readonly pack: OpenPack;
  readonly kept: KeptTensors;
  readonly scheduler: Scheduler;
  readonly guidance: Guidance;
  readonly firstStep: number;
  /** (1, C, F, h, w) with as much noise as the first step expects. Its memory is taken. */
  readonly latents: Float32Array;
  readonly dims: readonly number[];
  /** Of all B clips: two also where no step uses guidance any more. */
  readonly conditioning: Conditioning;
  readonly isOfTwo: boolean;
}

/** @returns the final latents (1, C, F, h, w), flat */
export async function denoise(
  { pack, kept, scheduler, guidance, firstStep, latents, dims, conditioning, isOfTwo }: DenoiseInputs,
  { numInferenceSteps, featureReuse }: GenerateRequest,
  run: Run,
): Promise<Float32Array> {
  const isGuided = guidance.steps > firstStep;
  const isBatched = isGuided && guidance.isBatched;
  const newBranch = (conditioning: Conditioning): Branch => ({
    conditioning,
    prediction: kept.reserve(),
    deepFeatures: kept.reserve(),
  });
  const originals = { 'original 0': kept.reserve(), 'original 1': kept.reserve() };
  const first: FloatTensor = { data: latents, dims };
  let sample = kept.keep(isBatched ? stack(first, first) : first);
  let branch = newBranch(conditioning);
  let unconditional: Branch | undefined;
  if (isOfTwo && !isBatched) {
    const conditional = halfOf(conditioning, 1, kept);
    const other = isGuided ? halfOf(conditioning, 0, kept) : undefined;
    branch = newBranch(conditional.conditioning);
    unconditional = other && newBranch(other.conditioning);
    await kept.compute([...conditional.copies, ...(other?.copies ?? [])]);
    kept.forget(Object.values(conditioning));
  }

  // A round begins with the whole UNet; it is the last use of deep features of another batch.
  const isWhole = (i: number): boolean => {
    const begin = i < guidance.steps ? firstStep : Math.max(firstStep, guidance.steps);
    return (i - begin) % featureReuse === 0;
  };
  run.enter('denoising', numInferenceSteps - firstStep);
  for (let i = firstStep; i < numInferenceSteps; i++) {
    run.check();
    const isLastOfRound = i + 1 === numInferenceSteps || isWhole(i + 1);
    const core: CoreRun = isWhole(i) ? (isLastOfRound ? 'whole' : 'first of round') : 'shallow';
    const timestep = scheduler.timesteps[i] ?? 0;
    const predict = (by: Branch, after: readonly Combination<KeptPart>[]) =>
      runCore(pack, core, { sample, timestep, ...by }, after);
    const step = scheduler.step(i);
    if (i < guidance.steps && unconditional) {
      const uncond = unconditional.prediction;
      await predict(unconditional, []);
      await predict(
        branch,
        guided(step, guidance.scale, { ...originals, sample, uncond, cond: branch.prediction }),
      );
    } else if (i < guidance.steps) {
      const [first, second] = [half(sample, 0), half(sample, 1)];
      const [uncond, cond] = [half(branch.prediction, 0), half(branch.prediction, 1)];
      const after = guided(step, guidance.scale, { ...originals, sample: first, uncond, cond });
      if (i + 1 === numInferenceSteps) {
        await predict(branch, after);
      } else if (i + 1 < guidance.steps) {
        await predict(branch, [...after, copy(first, second)]);
      } else {
        // The steps that follow know the conditional half only.
        const single = kept.reserve(dims);
        const conditional = halfOf(branch.conditioning, 1, kept);
        await predict(branch, [...after, copy(first, single), ...conditional.copies]);
        kept.forget([sample, branch.prediction, branch.deepFeatures, ...Object.values(branch.conditioning)]);
        sample = single;
        branch = newBranch(conditional.conditioning);
      }
    } else {
      await predict(branch, bound(step, { ...originals, sample, output: branch.prediction }));
    }
    run.step();
  }
  const isStillTwo = isBatched && guidance.steps >= numInferenceSteps;
  return (await kept.take(isStillTwo ? half(sample, 0) : sample)).data;
}

/** Predicts what `prediction` then holds, and computes the step of it. */
async function runCore(
  pack: OpenPack,
  core: CoreRun,
  {
    sample,
    timestep,
    conditioning,
    prediction,
    deepFeatures,
  }: Branch & { sample: KeptTensor; timestep: number },
  after: readonly Combination<KeptPart>[],
): Promise<void> {
  const { unet_core: whole, unet_shallow: shallow } = pack.sessions;
  const session = core === 'shallow' ? present(shallow) : whole;
  const feeds = {
    sample,
    timestep: { data: BigInt64Array.of(BigInt(timestep)), dims: [1] },
    ...conditioning,
    ...(core === 'shallow' ? { deep_features: deepFeatures } : {}),
  };
  const into = {
    out_sample: prediction,
    ...(core === 'first of round' ? { deep_features: deepFeatures } : {}),
  };
  await session.run(feeds, { into, after });
}

/** The combinations of a step, of the tensors that lie in the thread. */
function bound<Name extends string>(
  step: readonly Combination<Name>[],
  places: Readonly<Record<Name, KeptPart>>,
): Combination<KeptPart>[] {
  return step.map(({ terms, target, ...rest }) => ({
    ...rest,
    target: places[target],
    terms: terms.map(([factor, source]) => [factor, places[source]] as const),
  }));
}

type GuidedOperand = Exclude<Operand, 'output'> | 'uncond' | 'cond';

/**
 * Classifier-free guidance (arXiv 2207.12598), formula 6: the output is uncond + scale · (cond − uncond). Both halves
 * take its place in the sums of the step, so that it is never computed by itself.
 */
function guided(
  step: readonly Combination<Operand>[],
  scale: number,
  places: Readonly<Record<GuidedOperand, KeptPart>>,
): Combination<KeptPart>[] {
  const halves = step.map(({ terms, target, ...rest }) => ({
    ...rest,
    target: target as GuidedOperand, // no step writes the output
    terms: terms.flatMap(([factor, source]): (readonly [number, GuidedOperand])[] =>
      source === 'output'
        ? [
            [factor * (1 - scale), 'uncond'],
            [factor * scale, 'cond'],
          ]
        : [[factor, source]],
    ),
  }));
  return bound(halves, places);
}

const half = (tensor: KeptTensor, index: 0 | 1): KeptPart => ({ ...tensor, half: index });

const copy = (from: KeptPart, target: KeptPart): Combination<KeptPart> => ({ target, terms: [[1, from]] });

/** One half of the conditioning of two clips, and what fills it. */
function halfOf(
  { fps_emb, context, image_latents_enc }: Conditioning,
  index: 0 | 1,
  kept: KeptTensors,
): { readonly conditioning: Conditioning; readonly copies: Combination<KeptPart>[] } {
  const conditioning = {
    fps_emb: kept.reserve(),
    context: kept.reserve(),
    image_latents_enc: kept.reserve(),
  };
  const copies = [
    copy(half(fps_emb, index), conditioning.fps_emb),
    copy(half(context, index), conditioning.context),
    copy(half(image_latents_enc, index), conditioning.image_latents_enc),
  ];
  return { conditioning, copies };
}
