/** Masks over the API, from the request to the pixels of the video, with a real worker and the tiny model. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorSchema } from '../../src/web/problem.ts';
import type { Video } from '../../src/web/videos/schemas.ts';
import { columnsChange } from '../helpers/video-fixture.ts';
import { photo, videoOf, WebFixture, type WebPerson } from '../helpers/web-fixture.ts';

let web: WebFixture;
let ann: WebPerson;
let folder: string;
/** White where the left or the right half of the photo may move. */
let left: Buffer;
let right: Buffer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kinora-masks-'));
  web = await WebFixture.start();
  await web.realWorker();
  ann = await web.person();
  const { width = 0, height = 0 } = await sharp(photo).metadata();
  const half = { left: 0, top: 0, width: Math.floor(width / 2), height };
  const white = await sharp({ create: { ...half, channels: 3, background: 'white' } })
    .png()
    .toBuffer();
  const black = sharp({ create: { width, height, channels: 3, background: 'black' } });
  left = await black
    .clone()
    .composite([{ input: white, left: 0, top: 0 }])
    .png()
    .toBuffer();
  right = await black
    .clone()
    .composite([{ input: white, left: half.width, top: 0 }])
    .png()
    .toBuffer();
});
afterAll(async () => {
  await web.stop();
  await rm(folder, { recursive: true, force: true });
});

const dataUrl = (bytes: Buffer): string => `data:image/png;base64,${bytes.toString('base64')}`;
const small = { prompt: 'zoom in', num_frames: 3, size: '64x64', num_inference_steps: 2 };

async function ask(fields: Record<string, unknown>, headers?: Record<string, string>): Promise<Response> {
  return await ann.postJson('/v1/videos', { ...small, input_reference: dataUrl(photo), ...fields }, headers);
}

/** Mean change of each half of a finished video from its first frame to its last, of 255. */
async function changes(video: Video): Promise<{ left: number; right: number }> {
  const done = await ann.finished(video.id);
  expect(done).toMatchObject({ status: 'completed' });
  const file = join(folder, `${video.id}.mp4`);
  const content = await ann.call(`/v1/videos/${video.id}/content`);
  await writeFile(file, Buffer.from(await content.arrayBuffer()));
  const change = (from: number, to: number): number => columnsChange(file, [64, 64], from, to);
  return { left: change(0, 0.44), right: change(0.56, 1) };
}

describe('a mask', () => {
  it('lets only what it shows white move, and stays with a remix until that says otherwise', async () => {
    const video = await videoOf(await ask({ motion_mask: dataUrl(left) }));
    expect(video.has_motion_mask).toBe(true);
    const first = await changes(video);
    expect(first.right).toBeLessThan(2);
    expect(first.left).toBeGreaterThan(3 * first.right);

    const remix = async (body: object): Promise<Video> =>
      await videoOf(await ann.postJson(`/v1/videos/${video.id}/remix`, { prompt: 'zoom out', ...body }));
    const kept = await changes(await remix({}));
    expect(kept.right).toBeLessThan(2);
    const other = await changes(await remix({ motion_mask: dataUrl(right) }));
    expect(other.left).toBeLessThan(2);
    expect(other.right).toBeGreaterThan(3 * other.left);
    const none = await remix({ motion_mask: 'none' });
    expect(none.has_motion_mask).toBe(false);
    const free = await changes(none);
    expect(Math.min(free.left, free.right)).toBeGreaterThan(2);
  });

  it('stays with an extension, and with what is made of that', async () => {
    // What is still is the earlier file's last frame, which is encoded a second time.
    const still = 6;
    const first = await videoOf(await ask({ motion_mask: dataUrl(left) }));
    await ann.finished(first.id);
    const longer = await videoOf(await ann.postJson('/v1/videos/extensions', { video: { id: first.id } }));
    expect(longer.has_motion_mask).toBe(true);
    const kept = await changes(longer);
    expect(kept.right).toBeLessThan(still);
    expect(kept.left).toBeGreaterThan(3 * kept.right);
    expect((await ann.video(longer.id)).num_frames).toBe(3 + 2);
    const body = { prompt: 'zoom out' };
    const remix = await videoOf(await ann.postJson(`/v1/videos/${longer.id}/remix`, body));
    const other = await changes(remix);
    expect(other.right).toBeLessThan(still);
    expect(other.left).toBeGreaterThan(3 * other.right);
  });

  it('comes as the file of a form, too', async () => {
    const form = new FormData();
    form.append('input_reference', new Blob([new Uint8Array(photo)]), 'photo.jpg');
    form.append('motion_mask', new Blob([new Uint8Array(right)]), 'mask.png');
    for (const [name, value] of Object.entries(small)) form.append(name, String(value));
    const video = await videoOf(await ann.call('/v1/videos', { method: 'POST', body: form }));
    expect((await changes(video)).left).toBeLessThan(2);
  });

  it('is part of what a repeated request must repeat', async () => {
    const headers = { 'idempotency-key': 'with-a-mask' };
    const first = await videoOf(await ask({ motion_mask: dataUrl(left) }, headers));
    const again = await videoOf(await ask({ motion_mask: dataUrl(left) }, headers));
    expect(again.id).toBe(first.id);
    expect((await ask({ motion_mask: dataUrl(right) }, headers)).status).toBe(422);
    expect((await ask({}, headers)).status).toBe(422);
  });

  it('is refused with a sentence when it has another shape, or is no picture', async () => {
    const square = await sharp({ create: { width: 64, height: 64, channels: 3, background: 'white' } })
      .png()
      .toBuffer();
    for (const [mask, sentence] of [
      [dataUrl(square), /^The mask has 64 x 64 pixels and its picture .*; expected the same shape\./],
      ['everything', /^The mask cannot be read; expected a picture as PNG or JPEG/],
      [dataUrl(Buffer.from('white')), /^The mask cannot be read; expected a picture as PNG or JPEG/],
    ] as const) {
      const answer = await ask({ motion_mask: mask });
      const { error } = errorSchema.parse(await answer.json());
      expect([answer.status, error.param]).toEqual([400, 'motion_mask']);
      expect(error.message).toMatch(sentence);
    }
  });

  it('without white costs nothing, and says what to paint', async () => {
    const black = await sharp(left).linear(0).png().toBuffer();
    const { id } = await videoOf(await ask({ motion_mask: dataUrl(black) }));
    const { status, error } = await ann.finished(id);
    expect(status).toBe('failed');
    expect(error).toMatchObject({ code: 'INVALID_OPTION' });
    expect(error?.message).toMatch(
      /^The mask is black everywhere, so nothing would move; .* Nothing was charged\.$/,
    );
  });
});
