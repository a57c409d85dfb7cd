/** What a person of the API has, and that nothing of it stays when they delete it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { z } from 'zod';
import { eventually, timedGenerator } from '../helpers/queue-harness.ts';
import { WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

let web: WebFixture;
let ann: WebPerson;
beforeAll(async () => {
  web = await WebFixture.start();
  ann = await web.person();
});
afterAll(() => web.stop());

const accountSchema = z.object({
  user: z.string(),
  credits: z.record(z.string(), z.number()),
  unfinished: z.array(z.string()),
});
const accountOf = async (who: WebPerson): Promise<z.infer<typeof accountSchema>> =>
  accountSchema.parse(await (await who.call('/v1/account')).json());

/** Keys of Redis in which somebody appears. */
async function traces(userKey: string): Promise<string[]> {
  const redis = web.redis.connect();
  const found: string[] = [];
  for (const key of await redis.keys('{kinora}:*')) {
    const type = await redis.type(key);
    const content = type === 'hash' ? JSON.stringify(await redis.hgetall(key)) : '';
    if (`${key} ${content}`.includes(userKey)) found.push(key);
  }
  return found.sort();
}

it('tells the credits and the videos under way', async () => {
  expect(await accountOf(ann)).toMatchObject({
    user: ann.userKey,
    credits: { per_day: 100_000, used: 0, granted: 0 },
    unfinished: [],
  });
  const { id } = await ann.create();
  expect(await accountOf(ann)).toMatchObject({ credits: { used: 1 }, unfinished: [id] });
});

it('deletes what waits, runs and is done, with webhooks and keys, and nobody else', async () => {
  const bob = await web.person();
  const theirs = await bob.create();
  await ann.postJson('/v1/webhooks', { url: 'https://example.com/' });
  const worker = await web.worker(timedGenerator(50));
  const { id } = await ann.create();
  await ann.finished(id);
  await eventually('an idle worker', async () => (await accountOf(bob)).unfinished.length === 0);
  await worker.stop(0);
  const waiting = await ann.create();
  const redis = web.redis.connect();
  for (const jobId of [id, theirs.id])
    await redis.xadd('{kinora}:log', '*', 'line', JSON.stringify({ jobId }));
  const response = await ann.call('/v1/account', { method: 'DELETE' });
  expect([response.status, await response.json()]).toEqual([
    200,
    { object: 'account.deleted', deleted: true, videos: 3, unfinished: 0 },
  ]);
  expect((await ann.call('/v1/account')).status).toBe(401);
  expect(await web.artifacts.jobIds()).toEqual([theirs.id]);
  const [line, ...others] = await redis.xrange('{kinora}:log', '-', '+');
  expect([line?.[1][1], others]).toEqual([JSON.stringify({ jobId: theirs.id }), []]);
  // What was used today stays, or every deletion would give a new allowance; places end when the queue is idle.
  const allowed = ['{kinora}:used:2026-11-21', '{kinora}:vfinish'];
  expect((await traces(ann.userKey)).filter((key) => !allowed.includes(key))).toEqual([]);
  // A message to a webhook that is gone ends at its next attempt.
  await eventually('no traces', async () => (await traces(waiting.id)).length === 0);
  expect((await bob.video(theirs.id)).status).toBe('completed');
});
