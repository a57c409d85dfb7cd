/**
 * Which sessions stay open: shapes in, openings and releases out, with the weights of I2VGen-XL in FP16 and sessions
 * that record their openings and releases and compute nothing.
 */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { KinoraError } from '../../../src/errors.ts';
import type { GraphName } from '../../../src/inference/packs/graphs.ts';
import { i2vgenXlMemory } from '../../../src/inference/residency/measured-memory.ts';
import type { ClipShape, MemoryPlan } from '../../../src/inference/residency/memory-plan.ts';
import type { PackSession } from '../../../src/inference/residency/pack-session.ts';
import { SessionPool } from '../../../src/inference/residency/session-pool.ts';
import { OnnxSession } from '../../../src/inference/sessions/session.ts';

const weightBytes = {
  text_encoder: 0.71e9,
  image_encoder: 1.26e9,
  vae_encoder: 0.07e9,
  unet_cond: 0.04e9,
  unet_core: 2.8e9,
  vae_decoder: 0.1e9,
} as const;
const graphs = Object.keys(weightBytes) as (keyof typeof weightBytes)[]; // the only keys

/** "+unet_core" is an opening, "-unet_core" a release. */
let events: string[] = [];
/** The next opening runs out of memory. */
let failsNext = false;

beforeEach(() => {
  events = [];
  failsNext = false;
  vi.spyOn(OnnxSession, 'open').mockImplementation(async (name) => {
    if (failsNext) {
      failsNext = false;
      throw new KinoraError('OUT_OF_MEMORY', 'The device is full.');
    }
    events.push(`+${name}`);
    const session: Partial<OnnxSession> = {
      inputs: [],
      outputs: [],
      runMs: 0,
      run: async () => ({}),
      release: async () => {
        events.push(`-${name}`);
      },
    };
    return session as OnnxSession; // all that a PackSession uses of it
  });
});
afterEach(() => vi.restoreAllMocks());

async function openPool(
  budgetGb: number | undefined,
  maxSessions = 4,
  decoderMixesFrames = false,
): Promise<SessionPool> {
  const pool = new SessionPool(
    graphs.map((name) => ({ name, path: '', session: { device: 'cuda', threads: 1 }, maxSessions })),
    {
      memory: {
        ...{ weightBytes, graphs: i2vgenXlMemory, bytesPerValue: 2, vaeScaleFactor: 8 },
        decoderMixesFrames,
      },
      budgetBytes: budgetGb === undefined ? undefined : budgetGb * 1e9,
      latentChannels: 4,
      searchesPerShape: true,
      usualClip: clipOf('512x512x16'),
      whileOpening: () => {},
    },
  );
  await pool.openAll();
  return pool;
}

/** "512x512x16" with chunks of 4 frames; "512x512x16/2" with chunks of 2; "… early" where guidance ends early. */
function clipOf(text: string): ClipShape {
  const [, width, height, numFrames, chunk = 4, early] =
    /^(\d+)x(\d+)x(\d+)(?:\/(\d+))?( early)?$/.exec(text) ?? [];
  return {
    width: Number(width),
    height: Number(height),
    numFrames: Number(numFrames),
    batch: 2,
    decodeChunkSize: Number(chunk),
    ...(early ? { endsGuidance: true } : {}),
  };
}

/** The runs of one clip, of a new picture with a new prompt, in the pipeline's order. */
async function make(pool: SessionPool, clip: ClipShape, leastMemory = false): Promise<MemoryPlan> {
  const plan = await pool.prepare(clip, leastMemory);
  const { width, height, numFrames } = clip;
  const cells = [height / 8, width / 8];
  const data = new Float32Array(0);
  const run = (name: GraphName, feeds: Parameters<PackSession['run']>[0] = {}) =>
    pool.sessions.find((session) => session.name === name)?.run(feeds);
  await run('text_encoder');
  await run('image_encoder');
  await run('vae_encoder', { sample: { data, dims: [1, 3, height, width] } });
  await run('unet_cond');
  for (const rows of clip.endsGuidance ? [plan.coreBatch, 1] : [plan.coreBatch]) {
    const sample = { data, dims: [1, 4, numFrames, ...cells] };
    await run('unet_core', { sample, factors: { data, dims: [rows + 1] } });
  }
  for (let from = 0; from < numFrames; from += plan.decodeChunkSize) {
    const frames = Math.min(plan.decodeChunkSize, numFrames - from);
    await run('vae_decoder', { latent: { data, dims: [frames, 4, ...cells] } });
  }
  return plan;
}

/** What happened since the last call. */
function takeEvents(): string {
  return events.splice(0).join(' ');
}

/** A clip, its plan (residency, frames per chunk, batch of the core), and what opens ("+") and is released ("-"). */
type Row = readonly [clip: string, plan: string, events: string];

interface Case {
  readonly budgetGb?: number;
  readonly maxSessions?: number;
  readonly atStart?: string;
  readonly clips: readonly Row[];
}

const everyGraph = '+text_encoder +image_encoder +vae_encoder +unet_cond +vae_decoder +unet_core';
const encodersInTurn = '+text_encoder -text_encoder +image_encoder -image_encoder +vae_encoder -vae_encoder';

const cases: Record<string, Case> = {
  'without a budget one session per graph changes its shape': {
    clips: [
      ['512x512x16', 'all 4 2', ''],
      ['768x512x16', 'all 4 2', ''],
      ['512x512x16 early', 'all 4 1', ''],
    ],
  },
  'with 80 GB every shape gets sessions of its own, and coming back to one opens nothing': {
    budgetGb: 80,
    clips: [
      ['512x512x16', 'all 4 2', ''],
      ['768x512x16', 'all 4 2', '+vae_encoder +unet_core +vae_decoder'],
      ['512x512x16', 'all 4 2', ''],
      ['512x512x16 early', 'all 4 2', '+unet_core'],
      ['512x512x16/2', 'all 2 2', '+vae_decoder'],
      ['768x512x16', 'all 4 2', ''],
    ],
  },
  'the least recently used changes its shape when no more may open': {
    budgetGb: 80,
    maxSessions: 2,
    clips: [
      ['512x512x16', 'all 4 2', ''],
      ['768x512x16', 'all 4 2', '+vae_encoder +unet_core +vae_decoder'],
      ['512x768x16', 'all 4 2', ''],
      ['768x512x16', 'all 4 2', ''],
    ],
  },
  'with 24 GB extra sessions of the VAE go for one of the core, and extra cores for a large clip': {
    budgetGb: 24,
    clips: [
      ['512x512x16', 'all 4 2', ''],
      ['768x512x16', 'all 4 2', '+vae_encoder +unet_core +vae_decoder'],
      ['512x512x16 early', 'all 4 2', '-vae_encoder -vae_decoder +unet_core'],
      ['768x768x24', 'all 2 2', '-unet_core'],
      ['512x512x16/2', 'all 2 2', '-unet_core +vae_encoder +unet_core +vae_decoder'],
      ['512x512x16', 'all 4 2', ''],
    ],
  },
  'with 15.5 GB there is one core, and guidance that ends early has batch 1': {
    budgetGb: 15.5,
    clips: [
      ['512x512x16', 'all 4 2', ''],
      ['768x512x16', 'all 2 2', '+vae_encoder'],
      ['512x512x16 early', 'all 4 1', ''],
    ],
  },
  'with 12 GB a large clip takes the place of the encoders': {
    budgetGb: 12,
    clips: [
      ['512x512x16', 'all 2 2', ''],
      ['768x512x16', 'encoders-on-demand 1 2', '-image_encoder -text_encoder +image_encoder'],
      [
        '512x512x16',
        'all 2 2',
        '-vae_encoder -unet_cond -unet_core +text_encoder +vae_encoder +unet_cond +unet_core',
      ],
    ],
  },
  'with 8 GB encoders and VAE take turns beside the core': {
    budgetGb: 8,
    atStart: `${encodersInTurn} +unet_cond +vae_decoder -vae_decoder +unet_core`,
    clips: [
      ['512x512x16', 'core-only 2 2', `${encodersInTurn} +vae_decoder`],
      ['512x512x16', 'core-only 2 2', `-vae_decoder ${encodersInTurn} +vae_decoder`],
      ['768x512x16', 'core-only 1 1', `-vae_decoder ${encodersInTurn} +vae_decoder`],
    ],
  },
  'with 6.2 GB one session is open at a time': {
    budgetGb: 6.2,
    atStart: `${encodersInTurn} +unet_cond -unet_cond +vae_decoder -vae_decoder +unet_core`,
    clips: [
      [
        '512x512x16',
        'one-at-a-time 4 1',
        `-unet_core ${encodersInTurn} +unet_cond -unet_cond +unet_core -unet_core +vae_decoder`,
      ],
      [
        '512x512x16',
        'one-at-a-time 4 1',
        `-vae_decoder ${encodersInTurn} +unet_cond -unet_cond +unet_core -unet_core +vae_decoder`,
      ],
    ],
  },
};

it.each(Object.entries(cases))('%s', async (_name, { budgetGb, maxSessions, atStart, clips }) => {
  const pool = await openPool(budgetGb, maxSessions);
  expect(takeEvents()).toBe(atStart ?? everyGraph);
  for (const [clip, plan, expected] of clips) {
    const { residency, decodeChunkSize, coreBatch } = await make(pool, clipOf(clip));
    const row = [clip, `${residency} ${decodeChunkSize} ${coreBatch}`, takeEvents()];
    expect(row).toEqual([clip, plan, expected]);
  }
});

it('a clip that ran out of memory gets the plan with the least, and the next one all sessions again', async () => {
  const pool = await openPool(80);
  await make(pool, clipOf('512x512x16'));
  await pool.makeRoom();
  takeEvents();
  expect(await make(pool, clipOf('512x512x16'), true)).toMatchObject({
    residency: 'one-at-a-time',
    decodeChunkSize: 1,
    coreBatch: 1,
  });
  expect(takeEvents()).toBe(`${encodersInTurn} +unet_cond -unet_cond +unet_core -unet_core +vae_decoder`);
  expect((await make(pool, clipOf('512x512x16'))).residency).toBe('all');
  expect(takeEvents()).toBe('+text_encoder +image_encoder +vae_encoder +unet_cond +unet_core +vae_decoder');
});

it('where windows decide pixels, a clip that ran out of memory keeps those that the budget allows', async () => {
  const pool = await openPool(8, 4, true);
  const clip = clipOf('1024x576x25/7');
  const failed = await make(pool, clip);
  expect(failed.decodeChunkSize).toBeLessThan(5);
  const { decodeChunkSize, peakBytes } = await make(pool, clip, true);
  expect(decodeChunkSize).toBe(failed.decodeChunkSize);
  expect(peakBytes).toBeLessThanOrEqual(failed.peakBytes);
});

it('an extra session that does not fit after all is never tried again', async () => {
  const pool = await openPool(80);
  await make(pool, clipOf('512x512x16'));
  takeEvents();
  failsNext = true;
  await make(pool, clipOf('768x512x16'));
  expect(takeEvents()).toBe('+unet_core +vae_decoder');
  await make(pool, clipOf('512x768x16'));
  expect(takeEvents()).toBe('+unet_core +vae_decoder');
});
