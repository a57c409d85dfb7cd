/** What is done with a video that there is: cancel, delete, remix, variations; and requests that are sent twice. */
import { stat } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorSchema } from '../../src/web/problem.ts';
import { type Video, videoListSchema } from '../../src/web/videos/schemas.ts';
import type { JobWorker } from '../../src/worker/worker.ts';
import { filesOf } from '../helpers/job-files.ts';
import { eventually, openTerms, timedGenerator } from '../helpers/queue-harness.ts';
import { photo, videoOf, WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

let web: WebFixture;
let ann: WebPerson;
afterAll(() => web.stop());

async function refusal(response: Response): Promise<[number, string]> {
  return [response.status, errorSchema.parse(await response.json()).error.code];
}
const act = (who: WebPerson, id: string, action: string): Promise<Response> =>
  who.call(`/v1/videos/${id}/${action}`, { method: 'POST' });
const remove = (who: WebPerson, id: string): Promise<Response> =>
  // As PyPI "openai" does: with the type of a body, and no body.
  who.call(`/v1/videos/${id}`, { method: 'DELETE', headers: { 'content-type': 'application/json' } });

/** What Redis holds of a video. */
async function traces(id: string): Promise<string[]> {
  const redis = web.redis.connect();
  const found: string[] = [];
  for (const key of await redis.keys('{kinora}:*')) {
    if (key.includes(id)) found.push(key);
    else if ((await redis.type(key)) === 'zset' && (await redis.zscore(key, id)) !== null) found.push(key);
  }
  return found;
}
async function hasFolder(id: string): Promise<boolean> {
  return await stat(filesOf(web.artifacts, id).folder).then(
    () => true,
    () => false,
  );
}

describe('with a worker that takes its time', () => {
  let worker: JobWorker;
  let running: Video;
  beforeAll(async () => {
    web = await WebFixture.start();
    ann = await web.person();
    worker = await web.worker(timedGenerator(60_000));
    running = await ann.create();
    await eventually('the run', async () => (await ann.video(running.id)).phase === null);
  });
  afterAll(() => worker.stop(0));

  it('one that waits ends at once, with its code', async () => {
    const { id } = await ann.create();
    const cancelled = await videoOf(await act(ann, id, 'cancel'));
    expect(cancelled).toMatchObject({ status: 'failed', error: { code: 'CANCELLED' } });
    expect(await refusal(await act(ann, id, 'cancel'))).toEqual([409, 'video_finished']);
    expect(await refusal(await ann.call(`/v1/videos/${id}/content`))).toEqual([409, 'video_failed']);
    expect((await videoOf(await act(ann, running.id, 'cancel'))).id).toBe(running.id);
    expect((await ann.finished(running.id)).error?.code).toBe('CANCELLED');
  });

  it('one that waits, runs or is over is gone when it is deleted, with its files', async () => {
    const first = await ann.create();
    const second = await ann.create();
    const third = await ann.create();
    await eventually('the run', async () => (await ann.video(first.id)).queue_position === null);
    await act(ann, third.id, 'cancel');
    for (const { id } of [first, second, third]) {
      const answer = await remove(ann, id);
      expect([answer.status, await answer.json()]).toEqual([
        200,
        { id, object: 'video.deleted', deleted: true },
      ]);
      // Hidden at once, also while its worker has it.
      for (const response of [
        await ann.call(`/v1/videos/${id}`),
        await remove(ann, id),
        await act(ann, id, 'cancel'),
      ]) {
        expect(await refusal(response)).toEqual([404, 'video_not_found']);
      }
      await eventually(`no folder of ${id}`, async () => !(await hasFolder(id)));
      await eventually(`no entry of ${id}`, async () => (await traces(id)).length === 0);
    }
    const { data } = videoListSchema.parse(await (await ann.call('/v1/videos')).json());
    expect(data.map(({ id }) => id)).not.toContain(first.id);
  });

  it('a remix keeps what is not said, and names where it comes from', async () => {
    const fields = { prompt: 'zoom in', seed: '7', num_frames: '5', motion: 'high', negative_prompt: 'blur' };
    const earlier = await ann.create(fields);
    const body = { prompt: 'zoom out', motion: 'low' };
    const remix = await videoOf(await ann.postJson(`/v1/videos/${earlier.id}/remix`, body));
    expect(remix).toMatchObject({
      remixed_from_video_id: earlier.id,
      prompt: 'zoom out',
      motion: 'low',
      seed: 7,
      num_frames: 5,
      negative_prompt: 'blur',
      size: earlier.size,
    });
    expect(await refusal(await ann.postJson(`/v1/videos/${earlier.id}/remix`, {}))).toEqual([
      400,
      'bad_request',
    ]);
    const unmade = await ann.postJson(`/v1/videos/${earlier.id}/variation`, { strength: 'subtle' });
    expect(await refusal(unmade)).toEqual([409, 'video_not_ready']);
    const wild = await ann.postJson(`/v1/videos/${earlier.id}/variation`, { strength: 'wild' });
    expect(await refusal(wild)).toEqual([400, 'INVALID_OPTION']);
  });

  it('a client that hangs up has a video all the same', async () => {
    const bob = await web.person();
    const leaving = new AbortController();
    const form = new FormData();
    form.append('input_reference', new Blob([new Uint8Array(photo)]), 'photo.jpg');
    const asking = bob.call('/v1/videos', { method: 'POST', body: form, signal: leaving.signal });
    const list = async (): Promise<Video[]> =>
      videoListSchema.parse(await (await bob.call('/v1/videos')).json()).data;
    const hangingUp = asking.catch(() => {});
    await eventually('the video', async () => (await list()).length === 1);
    leaving.abort();
    await hangingUp;
    expect(await list()).toHaveLength(1);
  });

  describe('an Idempotency-Key', () => {
    const fields = { prompt: 'zoom in', preset: 'fast' };
    const with_ = (key: string) => ({ headers: { 'idempotency-key': key } });

    it('makes the same request one video and one charge, however often and whenever it comes', async () => {
      const bob = await web.person();
      const many = await Promise.all(Array.from({ length: 6 }, () => bob.post(fields, with_('a'))));
      const ids = new Set(await Promise.all(many.map(async (response) => (await videoOf(response)).id)));
      await web.stopBot();
      await web.startBot();
      ids.add((await videoOf(await bob.post(fields, with_('a')))).id);
      expect(ids.size).toBe(1);
      expect(await web.redis.connect().hget('{kinora}:used:2026-11-21', bob.userKey)).toBe('1');
      // Of another person, or under another key, it is another request.
      ids.add((await videoOf(await (await web.person()).post(fields, with_('a')))).id);
      ids.add((await videoOf(await bob.post(fields, with_('b')))).id);
      expect(ids.size).toBe(3);
    });

    it('with another body, picture or video is refused', async () => {
      const bob = await web.person();
      const { id } = await videoOf(await bob.post(fields, with_('a')));
      const other = [
        await bob.post({ ...fields, seed: '1' }, with_('a')),
        await bob.post(fields, { ...with_('a'), picture: photo.subarray(0, -2) }),
        await bob.postJson(`/v1/videos/${id}/remix`, { prompt: 'zoom in' }, { 'idempotency-key': 'a' }),
      ];
      for (const response of other) expect(await refusal(response)).toEqual([422, 'idempotency_key_reused']);
      for (const key of ['x'.repeat(256), 'a b']) {
        expect(await refusal(await bob.post(fields, with_(key)))).toEqual([400, 'invalid_idempotency_key']);
      }
    });

    it('does not make a video again that was deleted', async () => {
      const bob = await web.person();
      const { id } = await videoOf(await bob.post(fields, with_('a')));
      await remove(bob, id);
      await eventually('no entry', async () => (await traces(id)).length === 0);
      expect(await refusal(await bob.post(fields, with_('a')))).toEqual([404, 'video_not_found']);
    });

    it('of a remix is the same', async () => {
      const { id } = await ann.create();
      const remix = (): Promise<Response> =>
        ann.postJson(`/v1/videos/${id}/remix`, { prompt: 'zoom out' }, { 'idempotency-key': 'remix' });
      expect((await videoOf(await remix())).id).toBe((await videoOf(await remix())).id);
    });

    it('of a request that was refused may be tried again', async () => {
      const bob = await web.person();
      await web.redis.connect().set('{kinora}:mode', 'paused');
      expect(await refusal(await bob.post(fields, with_('a')))).toEqual([503, 'paused']);
      await web.redis.connect().del('{kinora}:mode');
      expect((await bob.post(fields, with_('a'))).status).toBe(200);
    });
  });
});

describe('with a real worker', () => {
  beforeAll(async () => {
    await web.stop();
    web = await WebFixture.start({
      bot: { terms: { ...openTerms, limits: { ...openTerms.limits, user: 2, credits: 6 } } },
    });
    ann = await web.person();
    await web.realWorker();
  });

  it('a variation is made of the finished video', async () => {
    const earlier = await ann.create({ preset: 'fast' });
    expect((await ann.finished(earlier.id)).status).toBe('completed');
    for (const strength of ['subtle', 'strong']) {
      const response = await ann.postJson(`/v1/videos/${earlier.id}/variation`, { strength });
      const varied = await ann.finished((await videoOf(response)).id);
      expect(varied).toMatchObject({
        status: 'completed',
        remixed_from_video_id: earlier.id,
        num_frames: earlier.num_frames,
        size: earlier.size,
      });
      expect(varied.seed).not.toBe(earlier.seed);
    }
    await web.artifacts.remove(earlier.id);
    const late = await ann.postJson(`/v1/videos/${earlier.id}/remix`, { prompt: 'zoom out' });
    expect(await refusal(late)).toEqual([410, 'video_expired']);
  });

  it('whoever asks for too much at once reads the limit, and when to come again', async () => {
    const bob = await web.person();
    const answers = await Promise.all(Array.from({ length: 4 }, () => bob.post({ preset: 'fast' })));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(0);
    for (const response of refused) {
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
      const { error } = errorSchema.parse(await response.json());
      expect(error).toMatchObject({ type: 'rate_limit_error', code: 'user_limit' });
      expect(error.message).toMatch(/2 jobs waiting, which is the limit/);
    }
    await eventually('an empty account', async () => {
      const response = await bob.post({ preset: 'fast' });
      if (response.status === 200) return false;
      const { error } = errorSchema.parse(await response.json());
      if (error.code === 'user_limit') return false;
      expect([response.status, error.code]).toEqual([429, 'quota_exceeded']);
      expect(error.message).toMatch(/used 6 of your 6 credits/);
      return true;
    });
  });
});
