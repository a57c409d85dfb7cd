/** The tables of bench:gpu and its goals, from whatever has been measured so far. Measures nothing. */
import type { Row } from '../report.ts';
import type { Measurements, SideName } from './measurements.ts';
import { type Plan, shapeKey } from './plan.ts';

export interface Table {
  readonly name: string;
  readonly title: string;
  readonly rows: readonly Row[];
}

const missing = '–';
/** To so many decimals; below 1 to two digits that count. */
const rounded = (value: number | undefined, digits: number): string | number => {
  if (value === undefined) return missing;
  return Number(Math.abs(value) < 1 ? value.toPrecision(Math.max(2, digits)) : value.toFixed(digits));
};
const share = (value: number | undefined): string =>
  value === undefined ? missing : `${(100 * value).toFixed(1)} %`;
const divide = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined || b === 0 ? undefined : a / b;
const minus = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a - b;

export function makeTables(measured: Measurements, plan: Plan): Table[] {
  const of = (side: SideName, part: string, key: string, name: string) =>
    measured.number(side, part, key, name);
  const failures = (part: string, key: string): Row => {
    const texts = (['diffusers', 'kinora'] as const).flatMap((side) => {
      const error = measured.text(side, part, key, 'error');
      return error === undefined ? [] : [`${side}: ${error}`];
    });
    return { note: texts.join('; ') };
  };
  /** Without the last column when nothing failed. */
  const tidy = (rows: readonly Row[]): Row[] => {
    if (rows.some(({ note }) => note)) return [...rows];
    return rows.map(({ note: _, ...rest }) => rest as Row);
  };
  const peak = of('diffusers', 'matrix', 'peak', 'tflops');

  /** Only where it was asked for. */
  const compiledColumns = (key: string, kinora: number | undefined): Row => {
    if (measured.keys('compiled').length === 0) return {};
    const compiled = of('diffusers', 'compiled', key, 'ms');
    return {
      'diffusers with torch.compile ms': rounded(compiled, 1),
      'ratio to compiled': rounded(divide(kinora, compiled), 3),
      'compiling s': rounded(of('diffusers', 'compiled', key, 'compileSeconds'), 0),
    };
  };
  const steps = measured.keys('steps').map((key): Row => {
    const [diffusers, kinora] = [of('diffusers', 'steps', key, 'ms'), of('kinora', 'steps', key, 'ms')];
    const tflop = of('diffusers', 'flop', key, 'tflop');
    const rate = divide(tflop, kinora === undefined ? undefined : kinora / 1000);
    const otherRate = divide(tflop, diffusers === undefined ? undefined : diffusers / 1000);
    return {
      'one step of': key,
      TFLOP: rounded(tflop, 2),
      'diffusers ms': rounded(diffusers, 1),
      'Kinora ms': rounded(kinora, 1),
      ratio: rounded(divide(kinora, diffusers), 3),
      ...compiledColumns(key, kinora),
      'diffusers TFLOP/s': rounded(otherRate, 1),
      'Kinora TFLOP/s': rounded(rate, 1),
      'diffusers of peak': share(divide(otherRate, peak)),
      'Kinora of peak': share(divide(rate, peak)),
      'diffusers first ms': rounded(of('diffusers', 'steps', key, 'firstMs'), 0),
      'Kinora first ms': rounded(of('kinora', 'steps', key, 'firstMs'), 0),
      ...failures('steps', key),
    };
  });

  const clips = (['jobs', 'large'] as const).flatMap((part) =>
    measured.keys(part).map((key): Row => {
      const job = [...plan.jobs, plan.large].find((one) => one.key === key);
      const get = (side: SideName, name: string) => of(side, part, key, name);
      const firstRun = (side: SideName) => minus(get(side, 'firstSeconds'), get(side, 'secondSeconds'));
      return {
        clip: key,
        size: job ? shapeKey(job) : '',
        steps: [...new Set([get('diffusers', 'steps'), get('kinora', 'steps')])]
          .filter((count) => count !== undefined)
          .join(' and '),
        'diffusers s': rounded(get('diffusers', 'seconds'), 2),
        'Kinora s': rounded(get('kinora', 'seconds'), 2),
        ratio: rounded(clipRatio(measured, key), 3),
        'Kinora step ms': rounded(get('kinora', 'stepMs'), 1),
        'outside sessions': share(get('kinora', 'outsideShare')),
        'diffusers last step to MP4 ms': rounded(get('diffusers', 'lastStepToFileMs'), 0),
        'Kinora last step to MP4 ms': rounded(get('kinora', 'lastStepToFileMs'), 0),
        'diffusers peak GiB': rounded(get('diffusers', 'peakGiB'), 2),
        'Kinora peak GiB': rounded(get('kinora', 'peakGiB'), 2),
        'diffusers first run + s': rounded(firstRun('diffusers'), 1),
        'Kinora first run + s': rounded(firstRun('kinora'), 1),
        'Kinora load s': rounded(get('kinora', 'loadSeconds'), 1),
        ...failures(part, key),
      };
    }),
  );

  const budgets = [...plan.budgets, plan.large].flatMap((job): Row[] => {
    const part = job === plan.large ? 'large' : 'budgets';
    if (!measured.keys(part).includes(job.key)) return [];
    const get = (name: string) => of('kinora', part, job.key, name);
    return [
      {
        clip: job.key,
        size: shapeKey(job),
        'may use GiB': job.budgetGiB ?? missing,
        'peak GiB': rounded(get('peakGiB'), 2),
        s: rounded(get('seconds'), 2),
        'step ms': rounded(get('stepMs'), 1),
        'opening sessions ms': rounded(get('loadSessionsMs'), 0),
        'of diffusers': rounded(divide(get('seconds'), of('diffusers', 'jobs', job.key, 'seconds')), 3),
        ...failures(part, job.key),
      },
    ];
  });

  const vae = (['encode', 'decode'] as const).flatMap((part) =>
    measured.keys(part).map((key): Row => {
      const get = (side: SideName, name: string) => of(side, part, key, name);
      return {
        [`VAE`]: `${part} ${key}`,
        'diffusers ms': rounded(get('diffusers', 'ms'), 1),
        'Kinora ms': rounded(get('kinora', 'ms'), 1),
        ratio: rounded(divide(get('kinora', 'ms'), get('diffusers', 'ms')), 3),
        'diffusers first ms': rounded(get('diffusers', 'firstMs'), 0),
        'Kinora first ms': rounded(get('kinora', 'firstMs'), 0),
        'diffusers extra GiB': rounded(get('diffusers', 'extraGiB'), 2),
        'Kinora process GiB': rounded(get('kinora', 'peakGiB'), 2),
        ...failures(part, key),
      };
    }),
  );

  const tail = measured.keys('tail').map((key): Row => {
    const [two, all] = [of('kinora', 'tail', key, 'chunk2Ms'), of('kinora', 'tail', key, 'allMs')];
    return {
      'last step to MP4': key,
      '2 at once, ms': rounded(two, 0),
      'all at once, ms': rounded(all, 0),
      ratio: rounded(divide(two, all), 3),
      ...failures('tail', key),
    };
  });

  const remix = measured.keys('remix').map((key): Row => {
    const get = (name: string) => rounded(of('kinora', 'remix', key, name), 1);
    return {
      'remix of a known picture': key,
      'before the first step, ms': get('beforeStepsMs'),
      'of it text': get('encodeTextMs'),
      'without text': get('withoutTextMs'),
      'reading the picture': get('readPictureMs'),
      'looking it up': get('encodeImageMs'),
      conditioning: get('conditioningMs'),
      ...failures('remix', key),
    };
  });

  const idle = measured.keys('idle').map((key): Row => {
    const get = (name: string) => rounded(of('kinora', 'idle', key, name), 2);
    return {
      'idle engine': key,
      'GiB with its model': get('loadedGiB'),
      'GiB after it left': get('unloadedGiB'),
      'first video of one step, s': get('firstSeconds'),
      'the same after it left, s': get('againSeconds'),
      ...failures('idle', key),
    };
  });

  const options = measured.keys('options').map((key): Row => {
    const seconds = of('kinora', 'options', key, 'seconds');
    const gain = divide(of('kinora', 'options', 'exact', 'seconds'), seconds);
    return {
      option: key,
      steps: rounded(of('kinora', 'options', key, 'steps'), 0),
      s: rounded(seconds, 2),
      'times as fast': rounded(gain, 2),
      'of diffusers': rounded(divide(seconds, of('diffusers', 'jobs', 'standard', 'seconds')), 3),
      ...failures('options', key),
    };
  });

  const start = [
    ['diffusers: checkpoint to card, s', of('diffusers', 'load', 'pipeline', 'loadSeconds')],
    ...plan.jobs.map(
      ({ key }) => [`Kinora: engine ready (${key}), s`, of('kinora', 'jobs', key, 'loadSeconds')] as const,
    ),
    [`matrix peak of the card, TFLOP/s`, peak],
  ].map(([what, value]): Row => ({ what: String(what), value: rounded(value as number | undefined, 2) }));

  return [
    { name: 'gpu-steps', title: 'One denoising step, medians', rows: steps },
    { name: 'gpu-clips', title: 'Photo to MP4, warm, medians', rows: clips },
    { name: 'gpu-budgets', title: 'With less memory', rows: budgets },
    { name: 'gpu-idle', title: 'What an idle engine gives back', rows: idle },
    { name: 'gpu-vae', title: 'VAE alone', rows: vae },
    { name: 'gpu-tail', title: 'From the last step to the MP4', rows: tail },
    { name: 'gpu-remix', title: 'Before the first step', rows: remix },
    { name: 'gpu-options', title: 'Ways to save time, standard preset', rows: options },
    { name: 'gpu-start', title: 'Start, and what the card can do', rows: start },
    { name: 'gpu-goals', title: 'Goals', rows: makeGoals(measured, plan) },
  ]
    .filter(({ rows }) => rows.length > 0)
    .map((table) => ({ ...table, rows: tidy(table.rows) }));
}

/** Whole clips; of runs with different numbers of steps it would mean nothing. */
function clipRatio(measured: Measurements, key: string): number | undefined {
  const [ours, theirs] = (['kinora', 'diffusers'] as const).map((side) => ({
    seconds: measured.number(side, 'jobs', key, 'seconds'),
    steps: measured.number(side, 'jobs', key, 'steps'),
  }));
  return ours?.steps === theirs?.steps ? divide(ours?.seconds, theirs?.seconds) : undefined;
}

/** The speed and the peaks of memory that a change must not lose. */
function makeGoals(measured: Measurements, plan: Plan): Row[] {
  const of = (side: SideName, part: string, key: string, name: string) =>
    measured.number(side, part, key, name);
  const ratio = (part: string, key: string, name: string) =>
    divide(of('kinora', part, key, name), of('diffusers', part, key, name));
  const [, standard, high] = plan.jobs;
  const compiledRatio = (key: string) =>
    divide(of('kinora', 'steps', key, 'ms'), of('diffusers', 'compiled', key, 'ms'));
  const tail = (job: typeof standard): number | undefined => {
    const key = job ? shapeKey(job) : '';
    return divide(of('kinora', 'tail', key, 'chunk2Ms'), of('kinora', 'tail', key, 'allMs'));
  };
  const row = (goal: string, limit: number, unit: string, value: number | undefined): Row => ({
    goal,
    'at most': `${limit}${unit}`,
    measured: value === undefined ? missing : `${Number(value.toFixed(3))}${unit}`,
    verdict: value === undefined ? 'not measured' : value <= limit ? 'reached' : 'missed',
  });
  return [
    ...plan.stepGoals.flatMap(({ key, ofEager, ofCompiled }) => [
      row(`step ${key}, of diffusers`, ofEager, '', ratio('steps', key, 'ms')),
      row(`step ${key}, of torch.compile`, ofCompiled, '', compiledRatio(key)),
    ]),
    ...plan.decodeGoals.map(({ key, ofDiffusers }) =>
      row(`decode ${key}, of diffusers`, ofDiffusers, '', ratio('decode', key, 'ms')),
    ),
    row('standard, photo to MP4, of diffusers', 0.72, '', clipRatio(measured, 'standard')),
    ...[...plan.budgets, plan.large].map((job) => {
      const peakGiB = of('kinora', job === plan.large ? 'large' : 'budgets', job.key, 'peakGiB');
      return row(`${job.key}, ${shapeKey(job)}, peak of GPU memory`, job.budgetGiB ?? 0, ' GiB', peakGiB);
    }),
    row('last step to MP4, standard, 2 frames at once of all at once', 1.1, '', tail(standard)),
    row('last step to MP4, high, 2 frames at once of all at once', 1.1, '', tail(high)),
  ];
}
