/** How long a video will take, and when a call may be repeated: by what runs, what waits, and what jobs took before. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { recordDuration } from '../../src/queue/durations.ts';
import { publishProgress } from '../../src/queue/events.ts';
import { Keys } from '../../src/queue/keys.ts';
import { Ledger } from '../../src/queue/ledger.ts';
import { kindName } from '../../src/queue/models.ts';
import { errorSchema } from '../../src/web/problem.ts';
import { eventually, openTerms } from '../helpers/queue-harness.ts';
import { model, WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

const keys = new Keys();
let web: WebFixture;
let ann: WebPerson;
let bob: WebPerson;
let beating: NodeJS.Timeout;
beforeAll(async () => {
  const limits = { ...openTerms.limits, queue: 5, user: 2 };
  web = await WebFixture.start({ bot: { terms: { ...openTerms, limits } } });
  [ann, bob] = [await web.person(), await web.person()];
  await recordDuration(web.redis.connect(), keys, kindName({ preset: 'fast', model }), 'cpu', 60_000);
});
afterAll(async () => {
  clearInterval(beating);
  await web.stop();
});

async function refusal(person: WebPerson): Promise<[number, string, number]> {
  const response = await person.post({ preset: 'fast' });
  const { error } = errorSchema.parse(await response.json());
  return [response.status, error.code, Number(response.headers.get('retry-after'))];
}

it('covers the whole rest, of those before it too, and says when there is a place again', async () => {
  const redis = web.redis.connect();
  const first = (await ann.create({ preset: 'fast' })).id;
  // A worker takes it, and says nothing of its time yet: as long as such videos take.
  await new Ledger(redis).transition(first, 'start', Date.now());
  const beat = async (): Promise<void> => {
    const worker = {
      beatAt: Date.now(),
      pid: 1,
      host: 'elsewhere',
      jobId: first,
      device: 'cpu',
      models: [model],
    };
    await redis.hset(keys.workers, 'worker', JSON.stringify(worker));
  };
  await beat();
  beating = setInterval(() => void beat(), 200);
  const { seconds_left } = await ann.video(first);
  expect(seconds_left).toBeGreaterThan(30);
  expect(seconds_left).toBeLessThanOrEqual(60);

  const progress = { phase: 'denoising', done: 5, total: 10, leftMs: 12_000 } as const;
  publishProgress(redis, keys, { type: 'progress', jobId: first, ...progress });
  await eventually('the progress', async () => (await ann.video(first)).seconds_left === 12);
  const early = await ann.call(`/v1/videos/${first}/content`);
  expect([early.status, early.headers.get('retry-after')]).toEqual([409, '12']);

  const second = await ann.create({ preset: 'fast' });
  expect(second).toMatchObject({ queue_position: 0, seconds_left: 72 });
  expect((await ann.video(second.id)).seconds_left).toBe(72);
  expect(await refusal(ann)).toEqual([429, 'user_limit', 12]);

  // Nothing of Bob's runs: the first of his is made after that of Ann, or before it.
  const own = [await bob.create({ preset: 'fast' }), await bob.create({ preset: 'fast' })];
  const left = await Promise.all(own.map(async ({ id }) => (await bob.video(id)).seconds_left ?? 0));
  expect(left.toSorted((a, b) => a - b).at(-1)).toBe(12 + 3 * 60);
  expect(await refusal(bob)).toEqual([429, 'user_limit', Math.min(...left)]);
  await (await web.person()).create({ preset: 'fast' });
  expect(await refusal(await web.person())).toEqual([429, 'queue_full', 12]);
});
