/** Videos over the API, with a real worker and the tiny model: what is taken, what is told, and what is given. */
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publishProgress } from '../../src/queue/events.ts';
import { Keys } from '../../src/queue/keys.ts';
import type { LedgerEntry } from '../../src/queue/ledger.ts';
import { Ledger } from '../../src/queue/ledger.ts';
import { errorSchema } from '../../src/web/problem.ts';
import { videoListSchema } from '../../src/web/videos/schemas.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { photo, videoOf, WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

let web: WebFixture;
let ann: WebPerson;
/** What another surface was asked to post. */
const posted: string[] = [];
beforeAll(async () => {
  web = await WebFixture.start({
    platforms: [
      {
        name: 'discord',
        start: async () => {},
        deliver: async ({ id }: LedgerEntry) => void posted.push(id),
        stop: async () => {},
      },
    ],
  });
  ann = await web.person();
});
afterAll(() => web.stop());

async function errorOf(response: Response): Promise<[number, string, string | null, string]> {
  const { error } = errorSchema.parse(await response.json());
  return [response.status, error.code, error.param, error.message];
}

describe('before anything is made', () => {
  it('a request is queued under an id that any later process knows', async () => {
    const video = await ann.create({
      prompt: 'zoom  in',
      seed: '7',
      num_frames: '5',
      loop: 'true',
      preset: 'fast',
    });
    expect(video).toMatchObject({
      object: 'video',
      status: 'queued',
      progress: 0,
      prompt: 'zoom in',
      seed: 7,
      num_frames: 5,
      loop: true,
      preset: 'fast',
      enable_frame_interpolation: false,
      queue_position: 0,
      completed_at: null,
      expires_at: null,
      error: null,
      remixed_from_video_id: null,
      credits: 1,
    });
    expect(video.size).toMatch(/^\d+x\d+$/);
    expect(Number(video.seconds)).toBeCloseTo(5 / (video.fps ?? 0));
    await web.stopBot();
    await web.startBot();
    expect(await ann.video(video.id)).toEqual(video);
    expect((await new Ledger(web.redis.connect()).read(video.id))?.request).toMatchObject({
      userKey: ann.userKey,
      surface: 'web',
      generation: { prompt: 'zoom in', seed: 7, numFrames: 5, loop: true },
    });
  });

  it('JSON with a data URL is the same as a form', async () => {
    const url = `data:image/jpeg;base64,${photo.toString('base64')}`;
    const body = { prompt: 'zoom in', seconds: '1', fps: 4, enable_frame_interpolation: true, user: 'me' };
    for (const input_reference of [url, { image_url: url }]) {
      const video = await videoOf(await ann.postJson('/v1/videos', { ...body, input_reference }));
      expect(video).toMatchObject({ num_frames: 4, fps: 4, seconds: '1', enable_frame_interpolation: true });
    }
  });

  it.each<[Record<string, string>, number, string, string | null, RegExp]>([
    [
      { num_frames: '999' },
      400,
      'INVALID_OPTION',
      'num_frames',
      /num_frames must be a whole number from 1 to 96/,
    ],
    [{ num_frames: 'many' }, 400, 'INVALID_OPTION', 'num_frames', /whole number from 1 to 96/],
    [{ fps: '0' }, 400, 'INVALID_OPTION', 'fps', /from 1 to 60/],
    [{ preset: 'best' }, 400, 'INVALID_OPTION', 'preset', /one of fast, standard, high, creative/],
    [{ loop: 'maybe' }, 400, 'INVALID_OPTION', 'loop', /yes or no/],
    [{ size: 'big' }, 400, 'INVALID_OPTION', 'size', /512|640x384/],
    [{ size: '4096x4096' }, 400, 'INVALID_OPTION', 'size', /expected/],
    [{ seconds: '60' }, 400, 'INVALID_OPTION', 'seconds', /expected a number from \S+ to \S+\./],
    [{ seconds: 'long' }, 400, 'bad_request', 'seconds', /\/docs/],
    [
      { frames: '5' },
      400,
      'INVALID_OPTION',
      'frames',
      /no option "frames"; known are prompt, input_reference/,
    ],
    [{ model: 'sora-2' }, 404, 'model_not_found', 'model', /one of kinora, /],
    [{ prompt: 'x'.repeat(2_000) }, 400, 'INVALID_PROMPT', 'prompt', /2000 characters; at most 1000/],
  ])('%j is refused with what is allowed', async (fields, status, code, param, sentence) => {
    const answer = await errorOf(await ann.post(fields));
    expect(answer).toEqual([status, code, param, expect.stringMatching(sentence)]);
  });

  it.each<[string, Uint8Array | null, number, string]>([
    ['no picture', null, 400, 'invalid_input_reference'],
    ['a text', Buffer.from('not a picture'), 415, 'IMAGE_UNSUPPORTED'],
    ['half a picture', photo.subarray(0, 300), 400, 'IMAGE_UNREADABLE'],
    ['a picture that is too large', Buffer.alloc(65 * 2 ** 20), 413, 'body_too_large'],
  ])('%s is refused', async (_what, picture, status, code) => {
    const answer = await errorOf(await ann.post({}, { picture }));
    expect(answer.slice(0, 2)).toEqual([status, code]);
  });

  it.each([
    ['cat.jpg', 'invalid_image_url'],
    ['data:image/jpeg;base64,', 'invalid_input_reference'],
    ['file:///etc/passwd', 'invalid_image_url'],
  ])('%s is no picture', async (input_reference, code) => {
    const answer = await errorOf(await ann.postJson('/v1/videos', { input_reference }));
    expect(answer.slice(0, 3)).toEqual([400, code, 'input_reference']);
  });

  it('other bodies are refused, whatever they are', async () => {
    const send = (type: string, body: string): Promise<Response> =>
      ann.call('/v1/videos', { method: 'POST', body, headers: { 'content-type': type } });
    expect((await send('application/json', '{"prompt":')).status).toBe(400);
    expect((await send('application/json', '[]')).status).toBe(400);
    expect((await send('application/json', '{"__proto__":{"x":1}}')).status).toBe(400);
    expect((await send('text/plain', 'x')).status).toBe(415);
    expect((await send('multipart/form-data', 'x')).status).toBe(400);
    expect((await send('multipart/form-data; boundary=x', '--x\r\n')).status).toBe(400);
  });

  it('a video that is not made says when to ask again, and an unknown one does not exist', async () => {
    const { id } = await ann.create();
    const early = await ann.call(`/v1/videos/${id}/content`);
    expect(Number(early.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await errorOf(early)).slice(0, 2)).toEqual([409, 'video_not_ready']);
    for (const other of ['video-000000000000000000000000', 'x', '..%2f..', 'video-%00']) {
      expect((await errorOf(await ann.call(`/v1/videos/${other}`))).slice(0, 2)).toEqual([
        404,
        'video_not_found',
      ]);
    }
    expect((await errorOf(await ann.call(`/v1/videos/${id}/content?variant=spritesheet`)))[0]).toBe(400);
  });
});

it('a state never goes back, although the run begins anew', async () => {
  const { id } = await ann.create();
  const redis = web.redis.connect();
  const ledger = new Ledger(redis);
  const tell = (phase: 'loading' | 'denoising', done: number): void =>
    publishProgress(redis, new Keys(), { type: 'progress', jobId: id, phase, done, total: 10 });
  await ledger.transition(id, 'start', Date.now());
  tell('loading', 0);
  await eventually('the phase', async () => (await ann.video(id)).phase === 'loading');
  expect((await ann.video(id)).status).toBe('queued');
  tell('denoising', 0);
  await eventually('the first step', async () => (await ann.video(id)).status === 'in_progress');
  // Its worker dies; another one loads the model first.
  await ledger.transition(id, 'handback', Date.now());
  expect((await ann.video(id)).status).toBe('in_progress');
  await ledger.transition(id, 'start', Date.now());
  tell('loading', 0);
  await eventually('the phase', async () => (await ann.video(id)).phase === 'loading');
  expect((await ann.video(id)).status).toBe('in_progress');
  await ledger.transition(id, 'failed', Date.now());
});

describe('lists', () => {
  it('show all of one person, page by page, both ways', async () => {
    const bob = await web.person();
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push((await bob.create()).id);
    for (const [order, expected] of [
      ['desc', [...ids].reverse()],
      ['asc', ids],
    ] as const) {
      const seen: string[] = [];
      let after: string | null = null;
      for (;;) {
        const query: string = `?limit=2&order=${order}${after ? `&after=${after}` : ''}`;
        const page = videoListSchema.parse(await (await bob.call(`/v1/videos${query}`)).json());
        seen.push(...page.data.map(({ id }) => id));
        expect([page.first_id, page.last_id]).toEqual([page.data.at(0)?.id, page.data.at(-1)?.id]);
        if (!page.has_more) break;
        after = page.last_id;
      }
      expect(seen).toEqual(expected);
    }
    const stranger = await web.person();
    const theirs = await stranger.call('/v1/videos');
    expect(await theirs.json()).toEqual({
      object: 'list',
      data: [],
      first_id: null,
      last_id: null,
      has_more: false,
      next_after: null,
    });
    expect((await errorOf(await stranger.call(`/v1/videos?after=${ids[0]}`))).slice(0, 3)).toEqual([
      404,
      'video_not_found',
      'after',
    ]);
    for (const query of ['limit=0', 'limit=1000', 'order=random', 'page=2']) {
      expect((await errorOf(await bob.call(`/v1/videos?${query}`)))[0]).toBe(400);
    }
  });
});

describe('what is made', () => {
  beforeAll(() => web.realWorker());

  it('goes from queued over in_progress to completed, never back, and its files come whole and in ranges', async () => {
    const carl = await web.person();
    const { id, created_at } = await carl.create({ preset: 'fast' });
    const order = ['queued', 'in_progress', 'completed'];
    const states: string[] = [];
    let last = -1;
    await eventually('the video', async () => {
      const { status, progress, phase } = await carl.video(id);
      if (states.at(-1) !== status) states.push(status);
      expect(progress).toBeGreaterThanOrEqual(last);
      if (status === 'queued') expect(['loading', 'encoding', null]).toContain(phase);
      last = progress;
      return status === 'completed';
    });
    expect(states).toEqual(order.filter((state) => states.includes(state)));

    const video = await carl.video(id);
    expect(video).toMatchObject({ progress: 100, error: null, queue_position: null, seconds_left: null });
    expect(video.created_at).toBe(created_at);
    expect(video.completed_at).toBeGreaterThanOrEqual(video.created_at);
    expect(video.expires_at).toBeGreaterThan(video.completed_at ?? 0);

    const whole = await carl.call(`/v1/videos/${id}/content`);
    expect(whole.headers.get('content-type')).toBe('video/mp4');
    expect(whole.headers.get('content-disposition')).toMatch(/^inline; filename="zoom-in-\d+-\d+x\d+\.mp4"$/);
    const bytes = Buffer.from(await whole.arrayBuffer());
    expect(bytes.subarray(4, 8).toString()).toBe('ftyp');
    const part = await carl.call(`/v1/videos/${id}/content`, { headers: { range: 'bytes=4-7' } });
    expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 4-7/${bytes.length}`]);
    expect(await part.text()).toBe('ftyp');
    const beyond = await carl.call(`/v1/videos/${id}/content`, { headers: { range: 'bytes=99999999-' } });
    expect((await errorOf(beyond)).slice(0, 2)).toEqual([416, 'range_not_satisfiable']);
    const thumbnail = await carl.call(`/v1/videos/${id}/content?variant=thumbnail`);
    expect(thumbnail.headers.get('content-type')).toBe('image/jpeg');
    expect(
      Buffer.from(await thumbnail.arrayBuffer())
        .subarray(0, 2)
        .toString('hex'),
    ).toBe('ffd8');
    const head = await carl.call(`/v1/videos/${id}/content`, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, String(bytes.length)]);

    await web.artifacts.remove(id);
    expect((await errorOf(await carl.call(`/v1/videos/${id}/content`))).slice(0, 2)).toEqual([
      410,
      'video_expired',
    ]);
  });

  it('of a key that belongs to somebody in a chat is fetched here, and not posted there', async () => {
    const dora = await web.person('discord:8035');
    const { id } = await dora.create({ preset: 'fast' });
    expect((await dora.finished(id)).status).toBe('completed');
    expect(posted).toEqual([]);
  });

  it('fails with the code of the catalogue, and without its credits', async () => {
    // The header is whole; the engine finds the damage.
    const broken = await sharp(photo).png().toBuffer();
    broken.fill(0, 5_000, 6_000);
    const response = await ann.post({ preset: 'fast' }, { picture: broken });
    const { id, status, error } = await ann.finished((await videoOf(response)).id);
    expect([status, error?.code]).toEqual(['failed', expect.stringMatching(/^IMAGE_UNREADABLE$/)]);
    expect(error?.message).toMatch(/Nothing was charged/);
    expect((await errorOf(await ann.call(`/v1/videos/${id}/content`))).slice(0, 2)).toEqual([
      409,
      'video_failed',
    ]);
  });
});
