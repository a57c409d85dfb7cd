/** Whoever cancels or deletes a video that is being made frees the engine: within a step and two seconds. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cancelledError } from '../helpers/cancelled.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

const stepMs = 500;
const allowedMs = stepMs + 2_000;
let web: WebFixture;
let ann: WebPerson;
const started: string[] = [];
/** When the making of a video ended. */
const stopped = new Map<string, number>();
beforeAll(async () => {
  web = await WebFixture.start();
  ann = await web.person();
  await web.worker(async ({ id }, _files, { signal, onProgress }) => {
    started.push(id);
    for (let done = 0; ; done++) {
      onProgress({ phase: 'denoising', done, total: 1_000 });
      await sleep(stepMs);
      if (!signal.aborted) continue;
      stopped.set(id, performance.now());
      throw cancelledError();
    }
  });
});
afterAll(() => web.stop());

it.each([
  ['POST', '/cancel'],
  ['DELETE', ''],
])('%s …%s', async (method, action) => {
  const [{ id }, next] = [await ann.create(), await ann.create()];
  await eventually('the run', () => started.includes(id));
  const askedAt = performance.now();
  expect((await ann.call(`/v1/videos/${id}${action}`, { method })).status).toBe(200);
  await eventually('the end of the run', () => stopped.has(id));
  expect((stopped.get(id) ?? Infinity) - askedAt).toBeLessThan(allowedMs);
  // The engine is free for whoever waits.
  await eventually('the next run', () => started.includes(next.id));
  await ann.call(`/v1/videos/${next.id}/cancel`, { method: 'POST' });
  await eventually('its end', () => stopped.has(next.id));
});
