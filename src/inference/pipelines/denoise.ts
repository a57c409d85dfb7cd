/**
 * Down the noise schedule: predictions of the UNet, guidance, the scheduler's steps, deep features that serve several of
 * them. The numbers lie in the session thread; here is said what is computed of what. Knows neither text nor pixels.
 * Shapes as in i2vgen-xl.ts.
 */
import type { GenerateRequest } from '../image-to-video.ts';
import type { OpenPack } from '../packs/open.ts';
import type { Combination, Operand, Scheduler } from '../schedulers/scheduler.ts';
import type { KeptPart, KeptTensor, KeptTensors } from '../sessions/thread-tensors.ts';
import { present } from './parts.ts';
import type { Run } from './run.ts';

/**
 * What the cores are fed with at every step, unread: what unet_cond computes, and the text where that has not seen it.
 * What is the same for both halves of guidance is there once.
 */
export interface Conditioning {
  /** A row for each clip, as of the context. */
  readonly encoder_hidden_states?: KeptTensor;
  readonly fps_emb: KeptTensor;
  /** A row for each clip: two with guidance, the unconditional one first. */
  readonly context: KeptTensor;
  readonly image_latents_enc: KeptTensor;
}

/** How the steps use guidance. */
export interface Guidance {
  /** The steps before this one do. */
  readonly steps: number;
  /** Whether its halves go through the core as one batch of two, or one after the other because memory is short. */
  readonly isBatched: boolean;
  readonly scale: number;
}

/** What stays from step to step for the rows that go through the core together. */
interface Branch {
  readonly conditioning: Conditioning;
  readonly deepFeatures: KeptTensor;
}

/** After steps this long no other is at hand: whoever cancels would have to wait for two, to spare a millisecond. */
const longStepMs = 500;

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
  /** Of two rows also where no step uses guidance any more. */
  readonly conditioning: Conditioning;
  readonly isOfTwo: boolean;
  /** Settles when the conditioning is there: the first step is handed to the runtime before that. */
  readonly conditioned: Promise<unknown>;
}

/** @returns the final latents (1, C, F, h, w) */
export async function denoise(
  inputs: DenoiseInputs,
  { numInferenceSteps, featureReuse }: GenerateRequest,
  run: Run,
): Promise<KeptTensor> {
  const { pack, kept, scheduler, guidance, firstStep, latents, dims, isOfTwo, conditioned } = inputs;
  const isGuided = guidance.steps > firstStep;
  const isBatched = isGuided && guidance.isBatched;
  const newBranch = (conditioning: Conditioning): Branch => ({
    conditioning,
    deepFeatures: kept.reserve(),
  });
  let branch = newBranch(inputs.conditioning);
  let unconditional: Branch | undefined;
  if (isOfTwo && !isBatched) {
    await conditioned;
    const conditional = rowOf(inputs.conditioning, 1, pack, kept);
    const other = isGuided ? rowOf(inputs.conditioning, 0, pack, kept) : undefined;
    branch = newBranch(conditional.conditioning);
    unconditional = other && newBranch(other.conditioning);
    await kept.compute([...conditional.copies, ...(other?.copies ?? [])]);
  }

  // The core reads one sample while it writes the other.
  let [sample, next] = [kept.keep({ data: latents, dims }), kept.reserve(dims)];
  const originals = { 'original 0': kept.reserve(dims), 'original 1': kept.reserve(dims) };
  const output = kept.reserve(dims);
  const unguided = kept.reserve(dims);

  // A round begins with the whole UNet; it is the last use of deep features of another batch.
  const isWhole = (i: number): boolean => {
    const begin = i < guidance.steps ? firstStep : Math.max(firstStep, guidance.steps);
    return (i - begin) % featureReuse === 0;
  };
  /** Hands the runs of step i over; settles when the sample of the next step is there. */
  const handOver = async (i: number): Promise<void> => {
    const isLastOfRound = i + 1 === numInferenceSteps || isWhole(i + 1);
    const core: CoreRun = isWhole(i) ? (isLastOfRound ? 'whole' : 'first of round') : 'shallow';
    const timestep = scheduler.timesteps[i] ?? 0;
    const { sum, rest } = divide(scheduler.step(i));
    const places = { ...originals, sample, output };
    const target = sum.target === 'sample' ? next : places[sum.target];
    if (sum.target === 'sample') [sample, next] = [next, sample];
    const given = { sample: places.sample, timestep };
    const predict = (
      rows: Branch,
      factors: readonly number[],
      into: KeptTensor,
      after: readonly Combination<KeptPart>[],
    ) => runCore(pack, core, { ...rows, ...given, factors }, into, after);
    const after = bound(rest, places);
    const { scale } = guidance;
    // Classifier-free guidance (arXiv 2207.12598), formula 6: uncond + scale · (cond − uncond).
    const [ofUncond, ofCond] = [sum.ofOutput * (1 - scale), sum.ofOutput * scale];
    if (i >= guidance.steps) {
      await predict(branch, [sum.ofSample, sum.ofOutput], target, after);
    } else if (unconditional) {
      const both: Combination<KeptPart> = {
        target,
        terms: [
          [1, unguided],
          [1, target],
        ],
      };
      await allOf([
        predict(unconditional, [sum.ofSample, ofUncond], unguided, []),
        predict(branch, [0, ofCond], target, [both, ...after]),
      ]);
    } else if (i + 1 < guidance.steps || i + 1 === numInferenceSteps) {
      await predict(branch, [sum.ofSample, ofUncond, ofCond], target, after);
    } else {
      // The steps that follow know the conditional row only.
      const { conditioning, copies } = rowOf(branch.conditioning, 1, pack, kept);
      const last = predict(branch, [sum.ofSample, ofUncond, ofCond], target, [...after, ...copies]);
      const { deepFeatures } = branch;
      branch = newBranch(conditioning);
      await last;
      kept.forget([deepFeatures]);
    }
  };

  // The runtime has the next step at hand while this thread hears of the last one.
  let handed = handOver(firstStep);
  try {
    handed.catch(() => {}); // awaited below, unless the conditioning fails first
    await conditioned;
    run.advance('conditioning');
    run.enter('denoising', numInferenceSteps - firstStep);
    let isLong = false;
    for (let i = firstStep + 1; i <= numInferenceSteps; i++) {
      const before = handed;
      const startedAt = performance.now();
      if (isLong) {
        await before;
        run.check();
      }
      if (i < numInferenceSteps) {
        handed = handOver(i);
        handed.catch(() => {}); // awaited in the next round, unless the step before fails
      }
      await before;
      isLong = performance.now() - startedAt > longStepMs;
      run.step();
    }
  } catch (error) {
    await Promise.allSettled([handed]); // the sessions are free for the next job
    throw error;
  }
  return sample;
}

/** Settles when all runs have, unlike Promise.all: none is left behind. Throws what the first that failed threw. */
async function allOf(runs: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(runs)).find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

/** The part of a step that the core computes in the same run: a sum of its sample and its output, with these factors. */
interface CoreSum {
  readonly target: Operand;
  readonly ofSample: number;
  readonly ofOutput: number;
}

/**
 * Divides a step: its first combination is the core's, unless the output itself is needed besides; the rest is computed
 * afterwards.
 */
function divide(step: readonly Combination<Operand>[]): {
  readonly sum: CoreSum;
  readonly rest: readonly Combination<Operand>[];
} {
  const [first, ...rest] = step;
  const reads = ({ terms }: Combination<Operand>, operands: readonly Operand[]): boolean =>
    terms.some(([, source]) => operands.includes(source));
  const fitsCore =
    first !== undefined &&
    first.limit === undefined &&
    !reads(first, ['original 0', 'original 1']) &&
    !rest.some((later) => reads(later, ['output']));
  if (!fitsCore) return { sum: { target: 'output', ofSample: 0, ofOutput: 1 }, rest: step };
  const factorOf = (operand: Operand): number =>
    first.terms.reduce((total, [factor, source]) => (source === operand ? total + factor : total), 0);
  return {
    sum: { target: first.target, ofSample: factorOf('sample'), ofOutput: factorOf('output') },
    rest,
  };
}

/** `factors` are of the sample and of the prediction for each row, whose sum `into` then holds. */
async function runCore(
  pack: OpenPack,
  core: CoreRun,
  {
    sample,
    timestep,
    conditioning,
    deepFeatures,
    factors,
  }: Branch & { sample: KeptTensor; timestep: number; factors: readonly number[] },
  into: KeptTensor,
  after: readonly Combination<KeptPart>[],
): Promise<void> {
  const { unet_core: whole, unet_shallow: shallow } = pack.sessions;
  const session = core === 'shallow' ? present(shallow) : whole;
  const feeds = {
    sample,
    timestep: { data: BigInt64Array.of(BigInt(timestep)), dims: [1] },
    ...conditioning,
    factors: { data: Float32Array.from(factors), dims: [factors.length] },
    ...(core === 'shallow' ? { deep_features: deepFeatures } : {}),
  };
  const outputs = {
    out_sample: into,
    ...(core === 'first of round' ? { deep_features: deepFeatures } : {}),
  };
  // What is not finite in the features shows in the output, and what is not in a sample stays so to the last one, all of
  // which is looked at when it is decoded.
  const checks = { deep_features: 'none', out_sample: 'some' } as const;
  await session.run(feeds, { into: outputs, checks, after });
}

/** The combinations of a step, of the tensors that lie in the thread. */
function bound(
  step: readonly Combination<Operand>[],
  places: Readonly<Record<Operand, KeptPart>>,
): Combination<KeptPart>[] {
  return step.map(({ terms, target, ...rest }) => ({
    ...rest,
    target: places[target],
    terms: terms.map(([factor, source]) => [factor, places[source]] as const),
  }));
}

/** The conditioning of one of two rows, and what fills it. */
function rowOf(
  conditioning: Conditioning,
  index: 0 | 1,
  pack: OpenPack,
  kept: KeptTensors,
): { readonly conditioning: Conditioning; readonly copies: Combination<KeptPart>[] } {
  const { encoder_hidden_states: text, context, image_latents_enc: latents } = conditioning;
  const copies: Combination<KeptPart>[] = [];
  const half = (whole: KeptTensor): KeptTensor => {
    const target = kept.reserve();
    copies.push({ target, terms: [[1, { ...whole, half: index }]] });
    return target;
  };
  // Where the text says how the picture moves, there is one for each row.
  const spec = pack.sessions.unet_cond.outputs.find(({ name }) => name === 'image_latents_enc');
  const row = {
    ...conditioning,
    ...(text ? { encoder_hidden_states: half(text) } : {}),
    context: half(context),
    image_latents_enc: spec?.dims[0] === 1 ? latents : half(latents),
  };
  return { conditioning: row, copies };
}
