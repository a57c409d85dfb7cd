/** Kinora's measurements, part by part. Each is recorded as soon as it is made. */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { childEnvironment } from '../../src/engine/child-environment.ts';
import type { GenerationOptions } from '../../src/request/request.ts';
import { runHelper } from './helper-process.ts';
import { EngineUnderTest, type KinoraOptions, type MeasuredJob, median } from './kinora-side.ts';
import type { Measurements, Values } from './measurements.ts';
import { type Job, type PartName, type Plan, shapeKey } from './plan.ts';
import type { SessionsArguments } from './sessions.ts';
import type { VramMeter } from './vram.ts';

export interface Bench {
  readonly plan: Plan;
  readonly options: KinoraOptions;
  readonly measurements: Measurements;
  readonly vram: VramMeter;
}

/** The most important parts come first, in case the run is cut off. */
export const kinoraParts: Readonly<Record<PartName, (bench: Bench) => Promise<void>>> = {
  jobs: measureJobs,
  steps: measureSteps,
  tail: measureTail,
  remix: measureRemix,
  budgets: measureBudgets,
  idle: measureIdle,
  options: measureOptions,
  vae: measureVae,
  large: measureLarge,
};

/** Records the result of `work`, or its error; other measurements go on. */
async function note(
  { measurements }: Bench,
  part: PartName | 'load',
  key: string,
  work: () => Promise<Values>,
): Promise<void> {
  let values: Values;
  try {
    values = await work();
  } catch (error) {
    values = { error: error instanceof Error ? error.message : String(error) };
  }
  measurements.add('kinora', part, key, values);
}

async function withEngine(
  { options, vram }: Bench,
  work: (engine: EngineUnderTest) => Promise<Values>,
  budgetGiB?: number,
): Promise<Values> {
  const engine = await EngineUnderTest.start(options, vram, budgetGiB);
  try {
    return await work(engine);
  } finally {
    await engine.stop();
  }
}

const middle = (runs: readonly MeasuredJob[], of: (run: MeasuredJob) => number): number =>
  median(runs.map(of));
const phaseMs =
  (name: string) =>
  ({ result }: MeasuredJob): number =>
    result.timings[name] ?? 0;
/** The first one also puts the latents into the session thread. */
const steadySteps = (runs: readonly MeasuredJob[]): number[] => runs.flatMap(({ stepMs }) => stepMs.slice(1));

const phases = [
  'encodeText',
  'encodeImage',
  'conditioning',
  'denoise',
  'decode',
  'finishing',
  'loadSessions',
  'readPicture',
];

function describeRuns(runs: readonly MeasuredJob[]): Values {
  if (runs.length === 0) return {};
  return {
    seconds: middle(runs, ({ wallMs }) => wallMs) / 1000,
    stepMs: median(steadySteps(runs)),
    lastStepToFileMs: middle(runs, ({ lastStepToFileMs }) => lastStepToFileMs),
    outsideShare: middle(
      runs,
      ({ result: { timings } }) => 1 - (timings['sessions'] ?? 0) / (timings['total'] ?? 1),
    ),
    sessionsMs: middle(runs, phaseMs('sessions')),
    ...Object.fromEntries(phases.map((name) => [`${name}Ms`, middle(runs, phaseMs(name))])),
  };
}

/** Whole clips of unknown pictures and prompts, each preset in a fresh engine. */
async function measureJobs(bench: Bench): Promise<void> {
  for (const job of bench.plan.jobs) await note(bench, 'jobs', job.key, () => measureJob(bench, job));
}

/** Smaller cards, imitated by a budget: sessions that do not fit beside the UNet's core take turns. */
async function measureBudgets(bench: Bench): Promise<void> {
  for (const job of bench.plan.budgets) await note(bench, 'budgets', job.key, () => measureJob(bench, job));
}

/** What an engine without work gives back, and what the next job pays for it. */
async function measureIdle(bench: Bench): Promise<void> {
  const job = bench.plan.jobs[1];
  if (!job) return;
  await note(bench, 'idle', shapeKey(job), () =>
    withEngine(bench, async (engine) => {
      const run = async (): Promise<number> =>
        (await engine.run(job, { guidanceScale: job.guidanceScale, numInferenceSteps: 1 })).wallMs / 1000;
      const firstSeconds = await run();
      const loaded = engine.memory();
      await engine.unload();
      const unloaded = engine.memory();
      return {
        firstSeconds,
        ...measured('loadedGiB', loaded),
        ...measured('unloadedGiB', unloaded),
        againSeconds: await run(),
      };
    }),
  );
}

const measured = (name: string, value: number | undefined): Values =>
  value === undefined ? {} : { [name]: value };

/** Memory of the largest clip, which does not depend on the number of steps. */
async function measureLarge(bench: Bench): Promise<void> {
  const { large } = bench.plan;
  await note(bench, 'large', large.key, () => measureJob(bench, large));
}

async function measureJob(bench: Bench, job: Job): Promise<Values> {
  const measure = async (engine: EngineUnderTest): Promise<Values> => {
    const { guidanceScale, numInferenceSteps } = job;
    const run = async (steps: number): Promise<MeasuredJob> =>
      await engine.run(job, { guidanceScale, numInferenceSteps: steps }, await engine.unknownPicture());
    const warmSteps = Math.min(bench.plan.warmSteps, numInferenceSteps);
    const first = await run(warmSteps);
    const second = await run(warmSteps);
    const runs: MeasuredJob[] = [];
    for (let index = 0; index < job.repeats; index++) runs.push(await run(numInferenceSteps));
    const reduced = [first, second, ...runs].find(({ result }) => result.reducedTo !== undefined);
    if (reduced) throw new Error(`memory ran out; made as ${reduced.result.reducedTo}`);
    return {
      loadSeconds: engine.loadMs / 1000,
      firstSeconds: first.wallMs / 1000,
      secondSeconds: second.wallMs / 1000,
      warmSteps,
      stepMs: median(steadySteps([second])),
      ...describeRuns(runs),
      runs: runs.length,
      steps: numInferenceSteps,
      ...(await engine.peak()),
    };
  };
  return await withEngine(bench, measure, job.budgetGiB);
}

/** One step per shape inside a clip, with scheduler, guidance and copies. */
async function measureSteps(bench: Bench): Promise<void> {
  const { plan, options, vram } = bench;
  const engine = await EngineUnderTest.start(options, vram);
  try {
    for (const shape of plan.steps) {
      await note(bench, 'steps', shape.key, async () => {
        const guidanceScale = shape.batch === 2 ? (plan.jobs[0]?.guidanceScale ?? 9) : 1;
        const warm = await engine.run(shape, { guidanceScale, numInferenceSteps: 2 });
        const steady = await engine.run(shape, { guidanceScale, numInferenceSteps: 1 + 3 * plan.repeats });
        return { firstMs: warm.stepMs[0] ?? Number.NaN, ms: median(steadySteps([steady])) };
      });
    }
  } finally {
    await engine.stop();
  }
}

/** From the last step to the finished MP4: two frames at once against all. */
async function measureTail(bench: Bench): Promise<void> {
  const { plan, options, vram } = bench;
  const engine = await EngineUnderTest.start(options, vram);
  try {
    for (const job of plan.jobs.slice(1)) {
      const chunks = [2, job.numFrames];
      const times = new Map<number, number[]>(chunks.map((chunk) => [chunk, []]));
      const run = (decodeChunkSize: number): Promise<MeasuredJob> =>
        engine.run(job, { decodeChunkSize, numInferenceSteps: 1 });
      await note(bench, 'tail', shapeKey(job), async () => {
        for (const chunk of chunks) for (let warm = 0; warm < 2; warm++) await run(chunk);
        // In turns, so that a changing clock of the card affects both alike.
        for (let index = 0; index < plan.repeats + 2; index++) {
          for (const chunk of chunks) times.get(chunk)?.push((await run(chunk)).lastStepToFileMs);
        }
        return {
          chunk2Ms: median(times.get(2) ?? []),
          allMs: median(times.get(job.numFrames) ?? []),
        };
      });
    }
  } finally {
    await engine.stop();
  }
}

/** A known picture with a new prompt or a new seed. */
async function measureRemix(bench: Bench): Promise<void> {
  const job = bench.plan.jobs[1];
  if (!job) return;
  const engine = await EngineUnderTest.start(bench.options, bench.vram);
  try {
    let seed = 0;
    for (const [kind, options] of Object.entries(remixes)) {
      await note(bench, 'remix', `${shapeKey(job)}, ${kind}`, async () => {
        const run = (): Promise<MeasuredJob> =>
          engine.run(job, { ...options, seed: ++seed, numInferenceSteps: 1 });
        for (let warm = 0; warm < 3; warm++) await run();
        const runs: MeasuredJob[] = [];
        // More runs than elsewhere, since milliseconds vary more than seconds.
        for (let index = 0; index < bench.plan.repeats + 6; index++) runs.push(await run());
        if (runs.some(({ result }) => !result.cache.hits.includes('image'))) {
          throw new Error('the picture was not known');
        }
        const encodeText = phaseMs('encodeText');
        return {
          beforeStepsMs: middle(runs, ({ beforeStepsMs }) => beforeStepsMs),
          withoutTextMs: middle(runs, (one) => one.beforeStepsMs - encodeText(one)),
          ...Object.fromEntries(
            ['readPicture', 'encodeText', 'encodeImage', 'conditioning'].map((name) => [
              `${name}Ms`,
              middle(runs, phaseMs(name)),
            ]),
          ),
        };
      });
    }
  } finally {
    await engine.stop();
  }
}

/** Changes to a clip. Without a prompt, each run gets a new one. */
const remixes = {
  'new prompt and seed': {},
  'new seed': { prompt: 'waves rolling' },
} satisfies Readonly<Record<string, GenerationOptions>>;

/** The ways to save time, against the exact clip in the same engine. */
async function measureOptions(bench: Bench): Promise<void> {
  const job = bench.plan.jobs[1];
  if (!job) return;
  const { numInferenceSteps } = job;
  const half = Math.max(1, Math.round(numInferenceSteps / 2));
  const dpm = { scheduler: 'dpm++2m', numInferenceSteps: half };
  const variants: Readonly<Record<string, GenerationOptions & { readonly featureReuse?: number }>> = {
    exact: {},
    [`DPM-Solver++ 2M, ${half} steps`]: dpm,
    'guidance for 60 % of the steps': { guidanceEnd: 0.6 },
    'deep features every 2nd step': { featureReuse: 2 },
    'deep features every 3rd step': { featureReuse: 3 },
    'the first, second and third together': { ...dpm, guidanceEnd: 0.6, featureReuse: 2 },
  };
  const { plan, options, vram } = bench;
  const engine = await EngineUnderTest.start(options, vram);
  try {
    for (const [key, variant] of Object.entries(variants)) {
      await note(bench, 'options', key, async () => {
        const resolved = await engine.resolve(job, variant);
        if ('featureReuse' in variant && !('featureReuse' in resolved)) {
          throw new Error('the engine does not know feature reuse');
        }
        const steps = variant.numInferenceSteps ?? numInferenceSteps;
        const base = { guidanceScale: job.guidanceScale, ...variant, numInferenceSteps: steps };
        await engine.run(job, { ...base, numInferenceSteps: 5 });
        const runs: MeasuredJob[] = [];
        for (let index = 0; index < plan.repeats; index++) runs.push(await engine.run(job, base));
        return {
          seconds: middle(runs, ({ wallMs }) => wallMs) / 1000,
          denoiseMs: middle(runs, phaseMs('denoise')),
          steps,
        };
      });
    }
  } finally {
    await engine.stop();
  }
}

/** Encoder and decoder alone. */
async function measureVae({ plan, options, measurements, vram }: Bench): Promise<void> {
  const { pack, device, threads } = options;
  const { latentChannels, vaeScaleFactor } = pack.manifest.architecture;
  const script = fileURLToPath(new URL('sessions.ts', import.meta.url));
  const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  for (const vaeCase of plan.vae) {
    const argument: SessionsArguments = {
      ...{ packPath: pack.folder, device, threads, latentChannels, vaeScaleFactor },
      case: vaeCase,
      repeats: plan.repeats,
    };
    const args = ['--import', loader, script, JSON.stringify(argument)];
    const env = childEnvironment(process.env);
    await runHelper({ side: 'kinora', program: process.execPath, args, env }, measurements, vram);
  }
}

/** Name, driver and memory of the card; undefined without nvidia-smi. */
export function describeCard(ordinal: number): string | undefined {
  const query = [
    '--query-gpu=name,driver_version,memory.total',
    '--format=csv,noheader',
    '-i',
    String(ordinal),
  ];
  const { stdout, status } = spawnSync('nvidia-smi', query, { encoding: 'utf8' });
  const [name, driver, memory] = (status === 0 ? stdout : '').split(',').map((part) => part.trim());
  return name && driver && memory ? `${name}, ${memory}, driver ${driver}` : undefined;
}
