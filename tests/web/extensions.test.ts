/** Extending a video over the API, with a real worker and the model that ships. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorSchema } from '../../src/web/problem.ts';
import { ffmpegPath } from '../helpers/video-fixture.ts';
import { photo, videoOf, WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

const builtin = fileURLToPath(new URL('../../models/builtin', import.meta.url));

let web: WebFixture;
let ann: WebPerson;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-extensions-'));
  web = await WebFixture.start();
  await web.realWorker(builtin);
  ann = await web.person();
});
afterAll(async () => {
  await web.stop();
  await rm(folder, { recursive: true, force: true });
});

async function create(fields: Record<string, unknown> = {}): Promise<string> {
  const input_reference = `data:image/jpeg;base64,${photo.toString('base64')}`;
  const asked = { prompt: 'zoom in', input_reference, num_frames: 6, size: '128x128', seed: 3, ...fields };
  return (await videoOf(await ann.postJson('/v1/videos', asked))).id;
}

const extend = (id: string, fields: Record<string, unknown> = {}, by: WebPerson = ann): Promise<Response> =>
  by.postJson('/v1/videos/extensions', { video: { id }, ...fields });

/** A hash of the pixels of every frame. */
async function framesOf(id: string): Promise<string[]> {
  const file = join(folder, `${id}.mp4`);
  const content = await ann.call(`/v1/videos/${id}/content`);
  await writeFile(file, Buffer.from(await content.arrayBuffer()));
  const lines = execFileSync(ffmpegPath, ['-v', 'error', '-i', file, '-vsync', '0', '-f', 'framemd5', '-']);
  return lines
    .toString()
    .split('\n')
    .filter((line) => /^\d/.test(line))
    .map((line) => line.split(',').at(-1)?.trim() ?? '');
}

describe('an extension', () => {
  it('keeps the frames of the earlier video, adds as many, and can be extended with other words', async () => {
    const first = await create();
    const { credits } = await ann.finished(first);
    const second = await videoOf(await extend(first));
    expect(second).toMatchObject({ remixed_from_video_id: first, remixed_by: 'extend', credits });
    expect(await ann.finished(second.id)).toMatchObject({ status: 'completed', prompt: 'zoom in' });
    const third = await videoOf(await extend(second.id, { prompt: 'pan right', num_frames: 4 }));
    expect(await ann.finished(third.id)).toMatchObject({ status: 'completed', prompt: 'pan right' });

    const [short, long, longest] = [
      await framesOf(first),
      await framesOf(second.id),
      await framesOf(third.id),
    ];
    expect([short.length, long.length, longest.length]).toEqual([6, 12, 16]);
    expect(long.slice(0, 6)).toEqual(short);
    expect(longest.slice(0, 12)).toEqual(long);
    expect(new Set(longest).size).toBe(16);

    // A remix keeps the frames of the earlier video, too, and makes what comes next in another way.
    const remix = await videoOf(
      await ann.postJson(`/v1/videos/${second.id}/remix`, { prompt: 'pan left', num_frames: 4 }),
    );
    expect(await ann.finished(remix.id)).toMatchObject({
      ...{ status: 'completed', prompt: 'pan left', num_frames: 10, remixed_by: 'remix' },
      remixed_from_video_id: second.id,
    });
    const other = await framesOf(remix.id);
    expect(other.slice(0, 6)).toEqual(short);
    expect(other).toHaveLength(10);
    expect(other.slice(6)).not.toEqual(long.slice(6, 10));
  });

  it('is refused of a video that is not there, of somebody else, or deleted, and costs nothing then', async () => {
    const id = await create();
    await ann.finished(id);
    const bob = await web.person();
    const left = async () => ((await (await ann.call('/v1/me')).json()) as { credits: unknown }).credits;
    const before = await left();
    for (const answer of [await extend('nothing'), await extend(id, {}, bob)]) {
      expect(answer.status).toBe(404);
    }
    await ann.call(`/v1/videos/${id}`, { method: 'DELETE' });
    expect((await extend(id)).status).toBe(404);
    expect(await left()).toEqual(before);
  });

  it('takes a form, with the id as clients name it or as JSON', async () => {
    for (const [name, value] of [
      ['video[id]', 'nothing'],
      ['video', '{"id": "nothing"}'],
    ] as const) {
      const body = new FormData();
      body.set(name, value);
      expect((await ann.call('/v1/videos/extensions', { method: 'POST', body })).status).toBe(404);
    }
    const body = new FormData();
    body.set('video', 'nothing');
    expect((await ann.call('/v1/videos/extensions', { method: 'POST', body })).status).toBe(400);
  });

  it('says how long a video may become', async () => {
    const id = await create();
    await ann.finished(id);
    const answer = await extend(id, { num_frames: 5000 });
    expect(answer.status).toBe(400);
    expect(errorSchema.parse(await answer.json()).error.param).toBe('num_frames');
  });
});
