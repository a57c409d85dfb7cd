/** Between the bot that took a request and the one that delivers its answer: who speaks first. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Showings } from '../../../src/bot/discord/showings.ts';
import { eventually, Harness, timedGenerator } from '../../helpers/queue-harness.ts';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(() => harness.stop());

const showings = () => new Showings(harness.server.failFast(), harness.keys);

it('a final answer waits until its acceptance is shown', async () => {
  const story: string[] = [];
  const taken = showings().during('t-1', async () => {
    await sleep(500);
    story.push('shown');
    return true;
  });
  const key = harness.keys.showing('t-1');
  await eventually('the word of it', async () => (await harness.server.connect().exists(key)) === 1);
  await showings().over('t-1');
  story.push('answered');
  await taken;
  expect(story).toEqual(['shown', 'answered']);
});

it('nothing is posted where a refusal of another bot is withdrawn late', async () => {
  const redis = harness.server.connect();
  const [client, id] = [harness.client(), 't-1'];
  await client.submit(await harness.request('1'));
  await showings().during(id, async () => false);
  // A bot that dies here leaves no more than this.
  await eventually('the word of it', async () => (await redis.pttl(harness.keys.showing(id))) > 0);
  await harness.worker(timedGenerator(10));
  let isAsked = false;
  await harness.delivery({
    wasDenied: async (_callId, entry) => {
      isAsked = true;
      await showings().over(entry.id);
      return false;
    },
  });
  await eventually('the delivery', () => isAsked, 20_000);
  const callId = (await redis.hget(harness.keys.job(id), 'ask')) ?? '';
  expect(await client.ledger.withdraw(id, callId, undefined, 60)).toBe(true);
  await redis.del(harness.keys.showing(id));
  await harness.client().submit(await harness.request('2'));
  await eventually('the answer of a later one', () => harness.posted.length > 0, 20_000);
  expect(harness.posted.map(({ jobId }) => jobId)).toEqual(['t-2']);
});
