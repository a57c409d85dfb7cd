import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { en } from '../../src/bot/sentences/en.ts';
import { zh } from '../../src/bot/sentences/zh.ts';
import { StatusBoard } from '../../src/bot/status-board.ts';
import { DeliveryDelayed } from '../../src/bot/upkeep/delivery.ts';
import { publishEvent } from '../../src/queue/events.ts';
import { ann, bob, mei, root, Talk } from '../helpers/conversation-fixture.ts';
import { eventually, log, timedGenerator } from '../helpers/queue-harness.ts';

interface Shown {
  readonly jobId: string;
  readonly text: string;
  readonly at: number;
}

const everyMs = 200;
const placesEveryMs = 100;

let talk: Talk;
let shown: Shown[];
let show: (text: string) => Promise<void>;
const boards: StatusBoard[] = [];
beforeEach(async () => {
  talk = await Talk.start({}, '--appendonly', 'yes', '--appendfsync', 'always');
  shown = [];
  show = async () => {};
});
afterEach(async () => {
  for (const board of boards.splice(0)) board.stop();
  await talk.stop();
});

async function board(platform = 'test'): Promise<StatusBoard> {
  const made = new StatusBoard({
    client: talk.client,
    platform,
    show: async ({ id }, { text }) => {
      shown.push({ jobId: id, text, at: Date.now() });
      await show(text);
      return true;
    },
    everyMs: () => everyMs,
    placesEveryMs,
    tipFor: (prompt) => talk.services.requests.tipFor(prompt),
    log,
  });
  boards.push(made);
  await made.start();
  return made;
}

function progress(jobId: string, done: number): void {
  const event = { type: 'progress', jobId, phase: 'denoising', done, total: 100 } as const;
  publishEvent(talk.harness.server.connect(), talk.harness.keys.events, event);
}

const textsOf = (jobId: string): string[] =>
  shown.filter((update) => update.jobId === jobId).map(({ text }) => text);

describe('the status board', () => {
  it('leaves alone what is answered elsewhere than in the chat of its person', async () => {
    await talk.harness.client().submit(await talk.harness.request('1', ann.userKey, { surface: 'web' }));
    await board();
    await sleep(3 * placesEveryMs);
    expect(shown).toEqual([]);
  });

  it('follows what another bot has taken, once that has told its person', async () => {
    await board();
    await talk.ask('t-1');
    await sleep(3 * placesEveryMs);
    expect(shown).toEqual([]);
    talk.client.tellShown('t-1');
    await eventually('its place', () => textsOf('t-1').length > 0);
    expect(textsOf('t-1')).toEqual(['Accepted. Yours is next.']);
  });

  it('shows places, each in its own language, and only what changed', async () => {
    const made = await board();
    await talk.ask('t-1');
    await talk.ask('t-2', { person: mei });
    for (const id of ['t-1', 't-2']) made.track(await talk.entry(id));
    await eventually('both places', () => shown.length >= 2);
    await sleep(3 * everyMs);
    expect(textsOf('t-1')).toEqual(['Accepted. Yours is next.']);
    expect(textsOf('t-2')).toEqual(['已接受，前面还有 1 个任务。']);
    await talk.conversation.cancel('t-1', ann);
    await eventually('the next place', () => textsOf('t-2').length === 2);
    expect(textsOf('t-2')[1]).toBe('已接受，下一个就是你的。');
  });

  it('says so when no worker has the model of a job any more, as /queue and /stats do', async () => {
    const made = await board();
    await talk.harness.worker(timedGenerator(10), { models: ['other-1'] });
    for (const [id, { userKey, locale }] of [
      ['1', ann],
      ['2', mei],
    ] as const) {
      await talk.client.submit(await talk.harness.request(id, userKey, { locale, model: 'gone-3' }));
      made.track(await talk.entry(`t-${id}`));
    }
    await eventually('both sentences', () => shown.length >= 2);
    expect(textsOf('t-1')).toEqual([en.status.stranded]);
    expect(textsOf('t-2')).toEqual([zh.status.stranded]);
    expect(await talk.conversation.queue(ann)).toContain(`\n${en.queue.stranded}`);
    const stats = await talk.conversation.adminWords(root, ['stats']);
    expect(stats).toContain('No worker has the model of some waiting jobs: gone-3 2. Start a worker');
    await talk.harness.worker(timedGenerator(10), { models: ['gone-3'] });
    const isWaiting = async (): Promise<boolean> =>
      (await talk.conversation.adminWords(root, ['stats'])).includes('gone-3');
    await eventually('their runs', async () => !(await isWaiting()));
  });

  it('shows progress no faster than allowed, and the last that was held back', async () => {
    const made = await board();
    await talk.ask('t-1');
    made.track(await talk.entry('t-1'));
    for (let done = 1; done <= 50; done++) {
      progress('t-1', done);
      await sleep(10);
    }
    await eventually('step 50', () => textsOf('t-1').some((text) => text.includes('50/100')));
    const steps = shown.filter(({ text }) => text.includes('step'));
    expect(steps.length).toBeLessThan(8);
    for (const [i, { at }] of steps.entries()) {
      if (i > 0) expect(at - (steps[i - 1]?.at ?? 0)).toBeGreaterThanOrEqual(everyMs - 5);
    }
  });

  it('takes up unfinished jobs of its own platform after a restart', async () => {
    await talk.ask('t-1');
    await talk.ask('t-2', { person: { ...bob, userKey: 'other:bob' } });
    await board();
    await eventually('the place', () => textsOf('t-1').length === 1);
    progress('t-2', 5);
    await sleep(3 * placesEveryMs);
    expect(textsOf('t-2')).toEqual([]);
  });

  it('is quiet for as long as the platform asks, and drops what came meanwhile', async () => {
    const made = await board();
    await talk.ask('t-1');
    made.track(await talk.entry('t-1'));
    show = async () => {
      throw new DeliveryDelayed('slow down', 1_500);
    };
    await eventually('the first', () => shown.length === 1);
    show = async () => {};
    for (let done = 1; done <= 10; done++) {
      progress('t-1', done);
      await sleep(50);
    }
    expect(shown).toHaveLength(1);
    await eventually('the next', () => shown.length === 2);
    expect((shown[1]?.at ?? 0) - (shown[0]?.at ?? 0)).toBeGreaterThanOrEqual(1_500);
    expect(shown[1]?.text).toContain('10/100');
  });

  it('says nothing after the end, and waits for what is under way', async () => {
    const made = await board();
    await talk.ask('t-1');
    made.track(await talk.entry('t-1'));
    let isDone = false;
    show = async () => {
      await sleep(300);
      isDone = true;
    };
    await eventually('an update begins', () => shown.length === 1);
    await made.finish('t-1');
    expect(isDone).toBe(true);
    progress('t-1', 60);
    await sleep(3 * everyMs);
    expect(shown).toHaveLength(1);
    await made.finish('t-unknown');
  });

  it('survives a failing platform and a Redis that goes and comes', async () => {
    const made = await board();
    await talk.ask('t-1');
    made.track(await talk.entry('t-1'));
    show = async () => {
      throw new Error('gone');
    };
    await eventually('a failure', () => shown.length >= 2);
    show = async () => {};
    await talk.harness.server.crashAndRestart(200);
    const before = shown.length;
    await eventually('it hears again', async () => {
      progress('t-1', shown.length + 1);
      await sleep(100);
      return shown.slice(before).some(({ text }) => text.includes('step'));
    });
  });

  it('forgets jobs that ended elsewhere', async () => {
    const made = await board();
    await talk.ask('t-1');
    made.track(await talk.entry('t-1'));
    await eventually('the place', () => shown.length === 1);
    await talk.conversation.cancel('t-1', ann);
    await talk.client.ledger.settle('t-1', 'delivered', Date.now(), 100);
    await sleep(4 * placesEveryMs);
    progress('t-1', 50);
    await sleep(2 * everyMs);
    expect(shown).toHaveLength(1);
  });
});
