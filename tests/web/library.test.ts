/** The library over the API: lists that are searched and paged, favourites, lineage, and files under names that say what they are. */
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Ledger } from '../../src/queue/ledger.ts';
import { errorSchema } from '../../src/web/problem.ts';
import { lineageSchema, type Video, videoListSchema } from '../../src/web/videos/schemas.ts';
import { filesOf } from '../helpers/job-files.ts';
import { openTerms, timedGenerator } from '../helpers/queue-harness.ts';
import { videoOf, WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

let web: WebFixture;
let ann: WebPerson;
const seen: string[] = [];
beforeAll(async () => {
  web = await WebFixture.start({
    platforms: [
      {
        name: 'discord',
        start: async () => {},
        deliver: async ({ id }) => void seen.push(id),
        stop: async () => {},
      },
    ],
  });
  ann = await web.person('discord:8035');
});
afterAll(() => web.stop());

type Page = ReturnType<typeof videoListSchema.parse>;
const listOf = async (person: WebPerson, query = ''): Promise<Page> =>
  videoListSchema.parse(await (await person.call(`/v1/videos?${query}`)).json());
const idsOf = ({ data }: Page): string[] => data.map(({ id }) => id);
const searched = async (person: WebPerson, words: string): Promise<string[]> =>
  (await listOf(person, `search=${encodeURIComponent(words)}`)).data.map(({ prompt }) => prompt);
const lineageOf = async (person: WebPerson, id: string) =>
  lineageSchema.parse(await (await person.call(`/v1/videos/${id}/lineage`)).json());

/** A job as a chat makes one. */
async function fromDiscord(id: string, prompt: string, isSpoiler = false): Promise<string> {
  const ledger = new Ledger(web.redis.connect());
  const jobId = `discord-${id}`;
  const picture = await sharp({ create: { width: 64, height: 64, channels: 3, background: 'red' } })
    .jpeg()
    .toBuffer();
  await web.artifacts.storeImage(jobId, picture);
  const generation = { prompt, preset: 'fast', seed: 3 };
  const request = { id: jobId, userKey: ann.userKey, generation, isSpoiler, replyTo: {} };
  const terms = { ...openTerms, cost: 1, day: '2026-11-21' };
  expect(await ledger.admit(request, terms)).toMatchObject({ decision: 'accepted' });
  return jobId;
}

/** Ends a job as a worker and the delivery would, without their processes. */
async function finish(id: string, model = 'test'): Promise<void> {
  const redis = web.redis.connect();
  const ledger = new Ledger(redis);
  const entry = await ledger.read(id);
  if (!entry) throw new Error(id);
  const files = filesOf(web.artifacts, id);
  const signal = new AbortController().signal;
  const made = await timedGenerator(1)(entry, files, { signal, onProgress: () => {} });
  const artifact = { ...made, model };
  await web.artifacts.storeRecord(id, artifact);
  await ledger.transition(id, 'generated', Date.now(), { artifact: JSON.stringify(artifact) });
  await ledger.settle(id, 'delivered', Date.now(), 3_600);
}

describe('a list', () => {
  it('is searched in any language, in any order of words, without regard to capitals', async () => {
    const bob = await web.person();
    const prompts = [
      'Slow ZOOM in, café',
      '海浪翻滚，镜头缓慢推进',
      'СНЕГ падает',
      'Straße im Regen',
      'ＷＩＤＥ waves',
    ];
    for (const prompt of prompts) await bob.create({ prompt });
    expect(await searched(bob, '海浪')).toEqual([prompts[1]]);
    expect(await searched(bob, '推进 翻滚')).toEqual([prompts[1]]);
    expect(await searched(bob, 'снег')).toEqual([prompts[2]]);
    expect(await searched(bob, 'in zoom CAFE')).toEqual([prompts[0]]);
    expect(await searched(bob, 'STRASSE')).toEqual([prompts[3]]);
    expect(await searched(bob, 'wide')).toEqual([expect.stringContaining('waves')]);
    expect(await searched(bob, '雪')).toEqual([]);
    expect(await searched(bob, '   ')).toHaveLength(prompts.length);
    expect(await searched(ann, 'zoom')).toEqual([]);
  });

  it('has the clips of every surface, and those that are made of them over the API', async () => {
    const chat = await fromDiscord('1', 'waves', true);
    await finish(chat);
    const [video] = (await listOf(ann)).data;
    expect(video).toMatchObject({
      ...{ id: chat, surface: 'discord', spoiler: true, seed: 3, status: 'completed', device: 'cpu' },
      ...{ variants: ['video'], favourite: false, model: 'test' },
    });
    const remix = await videoOf(await ann.postJson(`/v1/videos/${chat}/remix`, { prompt: 'snow' }));
    expect(remix).toMatchObject({
      ...{ surface: 'web', spoiler: true, remixed_from_video_id: chat, remixed_by: 'remix', variants: [] },
    });
    const reroll = await videoOf(await ann.call(`/v1/videos/${chat}/reroll`, { method: 'POST' }));
    expect(reroll).toMatchObject({ prompt: 'waves', remixed_by: 'reroll', status: 'queued' });
    expect(reroll.seed).not.toBe(3);
    expect((await ann.call(`/v1/videos/${chat}`, { method: 'DELETE' })).status).toBe(200);
    expect(idsOf(await listOf(ann))).toEqual([reroll.id, remix.id]);
    expect(await web.artifacts.measure(chat)).toBeUndefined();
  });

  it('is filtered by preset, model and favourites', async () => {
    const bob = await web.person();
    const fast = await bob.create({ preset: 'fast' });
    const high = await bob.create({ preset: 'high' });
    await finish(high.id, 'other');
    expect(idsOf(await listOf(bob, 'preset=fast'))).toEqual([fast.id]);
    expect(idsOf(await listOf(bob, 'model=other'))).toEqual([high.id]);
    expect(idsOf(await listOf(bob, 'model=other&preset=fast'))).toEqual([]);
    expect(idsOf(await listOf(bob, 'favourite=true'))).toEqual([]);
    const put = await bob.call(`/v1/videos/${fast.id}/favourite`, { method: 'PUT' });
    expect(await videoOf(put)).toMatchObject({ id: fast.id, favourite: true });
    await web.stopBot();
    await web.startBot();
    expect(idsOf(await listOf(bob, 'favourite=true'))).toEqual([fast.id]);
    await bob.call(`/v1/videos/${fast.id}/favourite`, { method: 'DELETE' });
    expect(idsOf(await listOf(bob, 'favourite=true'))).toEqual([]);
  });

  it('goes on where it was, though videos come and go between the pages', async () => {
    const bob = await web.person();
    const ids: string[] = [];
    for (let i = 0; i < 7; i++) ids.push((await bob.create()).id);
    const before = ids.toReversed();
    const first = await listOf(bob, 'limit=3');
    expect(idsOf(first)).toEqual(before.slice(0, 3));
    // New ones above, and the very one at which the page ended is deleted.
    await bob.create();
    await bob.call(`/v1/videos/${before[2]}`, { method: 'DELETE' });
    await bob.call(`/v1/videos/${before[4]}`, { method: 'DELETE' });
    const second = await listOf(bob, `limit=3&after=${first.next_after}`);
    expect(idsOf(second)).toEqual([before[3], before[5], before[6]]);
    expect([second.has_more, second.next_after]).toEqual([false, null]);
    // A place says nothing about anybody: it is a time.
    const stranger = await web.person();
    expect(idsOf(await listOf(stranger, `after=${first.next_after}`))).toEqual([]);
  });

  it('of one millisecond has each once, both ways', async () => {
    const bob = await web.person();
    const ledger = new Ledger(web.redis.connect());
    const ids = ['e', 'b', 'd', 'a', 'c'].map((letter) => `video-${letter}`);
    for (const id of ids) {
      const generation = { prompt: id, preset: 'fast', seed: 1 };
      const request = { id, userKey: bob.userKey, surface: 'web', generation, replyTo: {} };
      await ledger.admit(request, { ...openTerms, cost: 1, day: '2026-11-21', now: 1_700_000_000_000 });
    }
    for (const order of ['asc', 'desc']) {
      const found: string[] = [];
      for (let after = ''; ; ) {
        const page = await listOf(bob, `limit=2&order=${order}${after}`);
        found.push(...idsOf(page));
        if (page.next_after === null) break;
        after = `&after=${page.next_after}`;
      }
      const sorted = ids.toSorted();
      expect(found).toEqual(order === 'asc' ? sorted : sorted.toReversed());
    }
  });

  it('of thousands is searched in bounded steps', async () => {
    const bob = await web.person();
    const redis = web.redis.connect();
    const keys = new Ledger(redis).keys;
    const batch = redis.pipeline();
    for (let i = 0; i < 4_500; i++) {
      const id = `video-${i}`;
      const prompt = i === 17 ? 'the needle' : 'hay';
      const generation = { prompt, preset: 'fast', seed: 1 };
      const request = JSON.stringify({ id, userKey: bob.userKey, surface: 'web', generation, replyTo: {} });
      const state = { state: 'failed', user: bob.userKey, preset: 'fast', request, deliveredAt: 1 };
      batch.hset(keys.job(id), { ...state, createdAt: i, starts: 0, cost: 1, tag: 0 });
      batch.zadd(keys.history(bob.userKey), i, id);
    }
    await batch.exec();
    let pages = 0;
    const found: string[] = [];
    for (let after = ''; ; pages++) {
      const page = await listOf(bob, `search=needle${after}`);
      found.push(...idsOf(page));
      if (page.next_after === null) break;
      after = `&after=${page.next_after}`;
    }
    expect(found).toEqual(['video-17']);
    expect(pages).toBe(2);
  });
});

it('a favourite is gone with its video, and a mark never brings one back', async () => {
  const bob = await web.person();
  const { id } = await bob.create();
  await finish(id);
  await bob.call(`/v1/videos/${id}/favourite`, { method: 'PUT' });
  await bob.call(`/v1/videos/${id}`, { method: 'DELETE' });
  const late = await bob.call(`/v1/videos/${id}/favourite`, { method: 'PUT' });
  expect(late.status).toBe(404);
  const redis = web.redis.connect();
  const ledger = new Ledger(redis);
  expect(await ledger.setFavourite(id, bob.userKey, true, Date.now())).toBe(false);
  expect(await redis.exists(ledger.keys.job(id))).toBe(0);
});

it('lineage is what the video was made from and what was made of it, without what was deleted', async () => {
  const bob = await web.person();
  const root = await bob.create({ prompt: 'root' });
  const remix = async (id: string, prompt: string): Promise<Video> =>
    await videoOf(await bob.postJson(`/v1/videos/${id}/remix`, { prompt }));
  const child = await remix(root.id, 'child');
  const sibling = await remix(root.id, 'sibling');
  const grandchild = await remix(child.id, 'grandchild');
  const apart = await bob.create({ prompt: 'apart' });
  for (const { id } of [root, child, sibling, grandchild]) {
    const { data, truncated } = await lineageOf(bob, id);
    const found = data.map((video) => [video.prompt, video.remixed_from_video_id] as const);
    expect(new Map(found)).toEqual(
      new Map([
        ['root', null],
        ['child', root.id],
        ['sibling', root.id],
        ['grandchild', child.id],
      ]),
    );
    expect([data[0]?.id, truncated]).toEqual([root.id, false]);
  }
  expect((await lineageOf(bob, apart.id)).data.map(({ id }) => id)).toEqual([apart.id]);
  await bob.call(`/v1/videos/${child.id}`, { method: 'DELETE' });
  expect((await lineageOf(bob, root.id)).data.map(({ id }) => id)).toEqual([root.id, sibling.id]);
  expect((await lineageOf(bob, grandchild.id)).data.map(({ id }) => id)).toEqual([grandchild.id]);
});

it('a large family is cut short, and says so', async () => {
  const bob = await web.person();
  const root = await bob.create();
  for (let i = 0; i < 45; i++) await bob.postJson(`/v1/videos/${root.id}/remix`, { prompt: `${i}` });
  const { data, truncated } = await lineageOf(bob, root.id);
  expect([data.length, truncated]).toEqual([41, true]);
});

it.each([
  ['Camera slowly zooming in, waves!', 'inline; filename="camera-slowly-zooming-in-waves-7-64x64.mp4"'],
  [
    '海浪 翻滚',
    `inline; filename="kinora-7-64x64.mp4"; filename*=UTF-8''${encodeURIComponent('海浪-翻滚-7-64x64.mp4')}`,
  ],
  [
    'Café "x"\r\n../../etc',
    `inline; filename="cafe-x-etc-7-64x64.mp4"; filename*=UTF-8''${encodeURIComponent('café-x-etc-7-64x64.mp4')}`,
  ],
  ['🎬', 'inline; filename="kinora-7-64x64.mp4"'],
])('the file of %j has a name that says what it is', async (prompt, disposition) => {
  const { id } = await ann.create({ prompt, seed: '7' });
  await finish(id);
  const response = await ann.call(`/v1/videos/${id}/content`);
  expect([response.status, response.headers.get('content-disposition')]).toEqual([200, disposition]);
});

it('content is asked for again each time, and answered shortly when it is the same', async () => {
  const { id } = await ann.create();
  await finish(id);
  const first = await ann.call(`/v1/videos/${id}/content`);
  expect(first.headers.get('cache-control')).toBe('private, no-cache');
  // As a browser asks: fetch() would say that it wants no answer from a cache.
  const again = async (): Promise<number | undefined> => {
    const headers = {
      authorization: `Bearer ${ann.token}`,
      'if-none-match': first.headers.get('etag') ?? '',
    };
    const [response] = (await once(get(`${web.url}/v1/videos/${id}/content`, { headers }), 'response')) as [
      IncomingMessage,
    ];
    response.resume();
    return response.statusCode;
  };
  expect(await again()).toBe(304);
  await ann.call(`/v1/videos/${id}`, { method: 'DELETE' });
  expect(await again()).toBe(404);
});

it('what a stranger asks for is not there', async () => {
  const { id } = await ann.create({ prompt: 'secret' });
  await finish(id);
  const before = await ann.video(id);
  const stranger = await web.person('discord:80', ['use', 'admin']);
  for (const [method, path] of [
    ['PUT', 'favourite'],
    ['DELETE', 'favourite'],
    ['GET', 'lineage'],
    ['POST', 'reroll'],
    ['POST', 'smooth'],
    ['POST', 'loop'],
    ['GET', 'content?variant=smooth'],
  ]) {
    const response = await stranger.call(`/v1/videos/${id}/${path}`, { method: method ?? '' });
    const { error } = errorSchema.parse(await response.json());
    expect([path, response.status, error.code]).toEqual([path, 404, 'video_not_found']);
  }
  expect(await searched(stranger, 'secret')).toEqual([]);
  expect(await ann.video(id)).toEqual(before);
});

it('a real clip is smoothed and looped once, and fetched in ranges', async () => {
  await web.realWorker();
  const bob = await web.person();
  const video = await bob.create({ preset: 'fast', seed: '9' });
  const unmade = await bob.call(`/v1/videos/${video.id}/smooth`, { method: 'POST' });
  expect(unmade.status).toBe(409);
  const made = await bob.finished(video.id);
  expect(made).toMatchObject({ variants: ['video', 'thumbnail'], device: expect.any(String) });
  expect(made.timings?.['denoise']).toBeGreaterThan(0);
  const missing = await bob.call(`/v1/videos/${video.id}/content?variant=smooth`);
  const { error } = errorSchema.parse(await missing.json());
  expect([missing.status, error.code]).toEqual([404, 'variant_not_found']);

  const press = (action: string): Promise<Response> =>
    bob.call(`/v1/videos/${video.id}/${action}`, { method: 'POST' });
  const [one, two] = await Promise.all([press('smooth'), press('smooth')]);
  for (const response of [one, two]) {
    expect((await videoOf(response)).variants).toEqual(['video', 'thumbnail', 'smooth']);
  }
  expect((await videoOf(await press('loop'))).variants).toContain('loop');
  const part = await bob.call(`/v1/videos/${video.id}/content?variant=smooth`, {
    headers: { range: 'bytes=4-7' },
  });
  expect([part.status, await part.text()]).toEqual([206, 'ftyp']);
  expect(part.headers.get('content-disposition')).toMatch(
    /^inline; filename="zoom-in-9-\d+x\d+-smooth\.mp4"$/,
  );
});
