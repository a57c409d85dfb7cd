import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobClient } from '../../src/queue/client.ts';
import { EngineWorkerHandle, engineRequest, type Heard, longGeneration } from '../chaos/worker-handle.ts';
import { ffmpegIn, isRunning } from '../helpers/engine-fixture.ts';
import { eventually, Harness } from '../helpers/queue-harness.ts';

/** The heartbeat rule with a short patience, so that the test is short too: enough for a busy machine's large clip. */
const minSilenceMs = 3_000;

let harness: Harness;
let client: JobClient;
let worker: EngineWorkerHandle;
// One worker for all: it has to go on after every one of these.
beforeAll(async () => {
  harness = await Harness.start();
  client = harness.client();
  await harness.delivery();
  worker = await EngineWorkerHandle.start(harness, { engine: { minSilenceMs, silenceFactor: 1 } }).serving();
});
afterAll(async () => {
  await worker.end('SIGTERM');
  await harness.stop();
});
let creditsBefore = 0;
beforeEach(async () => {
  harness.posted.length = 0;
  creditsBefore = await harness.creditsUsed();
});
afterEach(() => {
  worker.onProgress = () => {};
});

/** Calls `act` each time a generation of the job comes as far as that. */
function whenever(jobId: string, phase: Heard['phase'], done: number, act: () => void): void {
  let hasActed = false;
  worker.onProgress = (heard) => {
    if (heard.jobId !== jobId) return;
    if (heard.phase === 'encoding') hasActed = false; // it begins again
    if (hasActed || heard.phase !== phase || heard.done < done) return;
    hasActed = true;
    act();
  };
}

function once(jobId: string, phase: Heard['phase'], done: number, act: () => void): void {
  whenever(jobId, phase, done, () => {
    worker.onProgress = () => {};
    act();
  });
}

const runsOf = async (jobId: string): Promise<number> =>
  (await harness.runs()).filter((id) => id === jobId).length;

async function expectOnly(kinds: Readonly<Record<string, string>>): Promise<void> {
  await eventually('every answer', () => harness.posted.length >= Object.keys(kinds).length);
  expect(Object.fromEntries(harness.posted.map(({ jobId, kind }) => [jobId, kind]))).toEqual(kinds);
  expect(harness.posted).toHaveLength(Object.keys(kinds).length);
  const videos = Object.values(kinds).filter((kind) => kind === 'video').length;
  expect((await harness.creditsUsed()) - creditsBefore).toBe(videos);
}

describe('an engine', () => {
  it('killed in the middle of a job is replaced, and the job made again', async () => {
    const victim = worker.enginePid;
    once('t-killed', 'denoising', 1, () => worker.signalEngine('SIGKILL'));
    await client.submit(await engineRequest(harness, 'killed', 'test:ann', { numInferenceSteps: 50 }));
    await expectOnly({ 't-killed': 'video' });
    expect(await runsOf('t-killed')).toBe(2);
    expect(worker.enginePid).not.toBe(victim);
  });

  it('that a job kills every time costs that job, after three deaths, and no other', async () => {
    whenever('t-deadly', 'denoising', 1, () => worker.signalEngine('SIGKILL'));
    await client.submit(await engineRequest(harness, 'deadly', 'test:ann', { numInferenceSteps: 50 }));
    await client.submit(await engineRequest(harness, 'harmless'));
    await expectOnly({ 't-deadly': 'failure', 't-harmless': 'video' });
    expect(await runsOf('t-deadly')).toBe(3);
    const { failure } = (await client.ledger.read('t-deadly')) ?? {};
    expect(failure).toEqual({ code: 'ENGINE_CRASHED', message: expect.stringMatching(/^[A-Z].*\.$/) });
  });

  it.each(['SIGKILL', 'SIGTERM'] as const)('whose ffmpeg ends by %s makes the job again', async (signal) => {
    const id = `ffmpeg-${signal}`;
    worker.onProgress = ({ jobId, phase }) => {
      if (jobId !== `t-${id}` || phase !== 'denoising') return;
      const running = ffmpegIn(harness.folder); // it starts beside the first step
      if (running.length === 0) return;
      worker.onProgress = () => {};
      for (const pid of running) process.kill(pid, signal);
    };
    await client.submit(await engineRequest(harness, id, 'test:ann', { numInferenceSteps: 50 }));
    await expectOnly({ [`t-${id}`]: 'video' });
    expect(await runsOf(`t-${id}`)).toBe(2);
  });

  it('that hangs is killed by the heartbeat rule, and the job made again', async () => {
    let victim: number | null = null;
    once('t-hung', 'denoising', 2, () => {
      victim = worker.enginePid;
      worker.signalEngine('SIGSTOP');
    });
    await client.submit(await engineRequest(harness, 'hung', 'test:ann', { numInferenceSteps: 50 }));
    await expectOnly({ 't-hung': 'video' });
    expect(await runsOf('t-hung')).toBe(2);
    expect(victim).not.toBeNull();
    expect(isRunning(Number(victim))).toBe(false);
  });
});

describe('cancelling with the real engine', () => {
  it.each([
    ['while it encodes', 'encoding', longGeneration],
    ['while it takes steps', 'denoising', longGeneration],
    ['while it decodes', 'decoding', { size: '256', numFrames: 32, numInferenceSteps: 1 }],
  ] as const)('%s ends the job soon, and the engine serves the next', async (_when, phase, generation) => {
    const id = `t-${phase}`;
    const victim = worker.enginePid;
    let cancelledAt = 0;
    once(id, phase, phase === 'denoising' ? 1 : 0, () => {
      cancelledAt = Date.now();
      void client.cancel(id, 'test:ann');
    });
    await client.submit(await engineRequest(harness, phase, 'test:ann', generation));
    await eventually('the answer', () => harness.posted.length === 1);
    expect(harness.posted).toEqual([{ jobId: id, kind: 'cancelled' }]);
    expect(Date.now() - cancelledAt).toBeLessThan(4_000);
    await client.submit(await engineRequest(harness, `after-${phase}`));
    await expectOnly({ [id]: 'cancelled', [`t-after-${phase}`]: 'video' });
    expect(worker.enginePid).toBe(victim);
  });

  it('while the engine still starts is obeyed as well', async () => {
    const victim = worker.enginePid;
    worker.signalEngine('SIGKILL');
    await eventually('a new engine', () => worker.enginePid !== victim && worker.enginePid !== null);
    once('t-starting', 'loading', 0, () => void client.cancel('t-starting', 'test:ann'));
    await client.submit(await engineRequest(harness, 'starting', 'test:ann', longGeneration));
    await client.submit(await engineRequest(harness, 'after-starting'));
    await expectOnly({ 't-starting': 'cancelled', 't-after-starting': 'video' });
  });
});
