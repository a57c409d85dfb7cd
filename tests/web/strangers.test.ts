/** What a stranger learns of somebody's videos: nothing, whatever is asked, and not even that they are there. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { errorSchema } from '../../src/web/problem.ts';
import { videoListSchema } from '../../src/web/videos/schemas.ts';
import { Browser } from '../helpers/browser.ts';
import { eventually, timedGenerator } from '../helpers/queue-harness.ts';
import { WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

let web: WebFixture;
let ann: WebPerson;
/** A key of somebody else, one with all scopes, and one of a person of a chat. */
let strangers: readonly WebPerson[];
/** The same of people who are signed in on the page. */
let browsers: readonly Browser[];
/** Ann's videos: finished, failed, running and waiting. */
const ids: string[] = [];

beforeAll(async () => {
  web = await WebFixture.start();
  ann = await web.person('discord:8035');
  strangers = await Promise.all([
    web.person(),
    web.person('discord:80', ['use', 'admin']),
    web.person('telegram:8035'),
  ]);
  browsers = [
    await Browser.of(web, 'web:000000000001'),
    await Browser.of(web, 'web:owner', ['use', 'admin']),
    await Browser.of(web, 'telegram:803'),
  ];
  const worker = await web.worker(timedGenerator(100));
  for (let i = 0; i < 2; i++) ids.push((await ann.create()).id);
  await eventually('the videos', async () => {
    const videos = await Promise.all(ids.map((id) => ann.video(id)));
    return videos.every(({ status }) => status === 'completed');
  });
  await worker.stop(0);
  for (let i = 0; i < 3; i++) ids.push((await ann.create()).id);
  await ann.call(`/v1/videos/${ids[2]}/cancel`, { method: 'POST' });
  for (const { userKey } of strangers) expect(userKey).not.toBe(ann.userKey);
});
afterAll(() => web.stop());

const json = (body: unknown) => ({
  method: 'POST',
  body: JSON.stringify(body),
  headers: { 'content-type': 'application/json' },
});

/** Every way to ask for a video by its id, each as it would be answered to its owner. */
const ways = [
  { path: '', init: {} },
  { path: '', init: { method: 'HEAD' } },
  { path: '/content', init: {} },
  { path: '/content', init: { method: 'HEAD' } },
  { path: '/content?variant=thumbnail', init: {} },
  { path: '/content', init: { headers: { range: 'bytes=0-3' } } },
  { path: '/content?variant=smooth', init: {} },
  { path: '/lineage', init: {} },
  { path: '/favourite', init: { method: 'PUT' } },
  { path: '/favourite', init: { method: 'DELETE' } },
  { path: '/reroll', init: { method: 'POST' } },
  { path: '/smooth', init: { method: 'POST' } },
  { path: '/loop', init: { method: 'POST' } },
  { path: '/events', init: {} },
  { path: '/events', init: { headers: { 'last-event-id': 'done' } } },
  { path: '', init: { method: 'DELETE' } },
  { path: '/cancel', init: { method: 'POST' } },
  { path: '/remix', init: json({ prompt: 'zoom out' }) },
  { path: '/variation', init: json({ strength: 'subtle' }) },
  { path: '/variation', init: json({ strength: 'strong' }) },
];

it('every way to ask for a video is among those that are tried', async () => {
  const document = (await (await fetch(`${web.url}/openapi.json`)).json()) as {
    paths: Record<string, object>;
  };
  const known = new Set(
    ways.map(({ path, init }) =>
      `${'method' in init ? init.method : 'GET'} ${path.split('?')[0]}`.toUpperCase(),
    ),
  );
  for (const [path, methods] of Object.entries(document.paths)) {
    const [, behind] = /^\/v1\/videos\/\{id\}(.*)$/.exec(path) ?? [];
    if (behind === undefined) continue;
    for (const method of Object.keys(methods)) expect(known).toContain(`${method} ${behind}`.toUpperCase());
  }
});

it('10,000 requests for videos of somebody else are answered with 404, all of them', async () => {
  const before = await Promise.all(ids.map((id) => ann.video(id)));
  const calls = fc.sample(
    fc.record({
      who: fc.constantFrom(...strangers, ...browsers),
      id: fc.constantFrom(...ids),
      way: fc.constantFrom(...ways),
      /** The same id in other clothes. */
      write: fc.constantFrom(
        (id: string) => id,
        (id: string) => id,
        (id: string) => encodeURIComponent(id),
        (id: string) => id.toUpperCase(),
        (id: string) => `${id}%20`,
        (id: string) => `.%2f${id}`,
      ),
    }),
    10_000,
  );
  const answers = new Map<string, number>();
  const atOnce = 32;
  for (let at = 0; at < calls.length; at += atOnce) {
    await Promise.all(
      calls.slice(at, at + atOnce).map(async ({ who, id, way, write }) => {
        const response = await who.call(`/v1/videos/${write(id)}${way.path}`, way.init);
        const text = await response.text();
        const code = text === '' ? '' : errorSchema.parse(JSON.parse(text)).error.code;
        const answer = `${response.status} ${code}`;
        answers.set(answer, (answers.get(answer) ?? 0) + 1);
        // Other than their own ids in an address, nothing of theirs comes back.
        expect(text).not.toContain('zoom in');
        if (answer === '429 rate_limit_exceeded') throw new Error('the limit of calls was reached');
      }),
    );
  }
  // HEAD has no body.
  expect([...answers.keys()].sort()).toEqual(['404 ', '404 video_not_found']);
  expect([...answers.values()].reduce((sum, count) => sum + count, 0)).toBe(calls.length);
  expect(await Promise.all(ids.map((id) => ann.video(id)))).toEqual(before);
}, 300_000);

it('a stranger sees nothing of others in a list, and finds nothing by its cursor', async () => {
  for (const stranger of strangers) {
    for (const query of ['', '?order=asc', '?limit=100', '?search=zoom', '?preset=standard', '?model=test']) {
      const list = videoListSchema.parse(await (await stranger.call(`/v1/videos${query}`)).json());
      const nothing = { data: [], first_id: null, last_id: null, has_more: false, next_after: null };
      expect(list).toEqual({ object: 'list', ...nothing });
    }
    const own = await stranger.create();
    for (const after of [...ids, 'video-000000000000000000000000']) {
      const response = await stranger.call(`/v1/videos?after=${after}`);
      expect(response.status).toBe(404);
    }
    const list = videoListSchema.parse(await (await stranger.call('/v1/videos')).json());
    expect(list.data.map(({ id }) => id)).toEqual([own.id]);
  }
});

it("a stranger's Idempotency-Key is not another's", async () => {
  const [stranger] = strangers;
  const headers = { 'idempotency-key': 'holiday' };
  const [theirs, hers] = [await stranger?.post({}, { headers }), await ann.post({}, { headers })];
  const [one, two] = [await theirs?.json(), await hers.json()] as { id: string }[];
  expect(one?.id).toBeDefined();
  expect(one?.id).not.toBe(two?.id);
});

it('a key without the scope may not use videos at all', async () => {
  const admin = await web.person(undefined, ['admin']);
  for (const path of ['', `/${ids[0]}`, `/${ids[0]}/content`, `/${ids[0]}/events`]) {
    const response = await admin.call(`/v1/videos${path}`);
    expect([response.status, errorSchema.parse(await response.json()).error.code]).toEqual([
      403,
      'missing_scope',
    ]);
  }
});
