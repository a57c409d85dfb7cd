/** The npm package "openai", as it is published, against the real server with a real worker. */
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually } from '../helpers/queue-harness.ts';
import { photo, WebFixture } from '../helpers/web-fixture.ts';

let web: WebFixture;
let openai: OpenAI;
beforeAll(async () => {
  web = await WebFixture.start();
  await web.realWorker();
  const { token } = await web.person();
  openai = new OpenAI({ apiKey: token, baseURL: `${web.url}/v1`, maxRetries: 0 });
});
afterAll(() => web.stop());

const picture = (): Promise<File> => toFile(photo, 'cat.jpg', { type: 'image/jpeg' });

async function finished(id: string): Promise<OpenAI.Videos.Video> {
  let video = await openai.videos.retrieve(id);
  await eventually('the video', async () => {
    video = await openai.videos.retrieve(id);
    return video.status === 'completed' || video.status === 'failed';
  });
  return video;
}

it('creates, polls, fetches, lists, remixes and deletes', async () => {
  const created = await openai.videos.create({ prompt: 'zoom in', input_reference: await picture() });
  expect(created).toMatchObject({
    object: 'video',
    status: 'queued',
    progress: 0,
    prompt: 'zoom in',
    error: null,
  });
  const video = await finished(created.id);
  expect(video).toMatchObject({ status: 'completed', progress: 100 });
  expect(video.completed_at).toBeGreaterThanOrEqual(video.created_at);

  const content = await openai.videos.downloadContent(video.id);
  expect(
    Buffer.from(await content.arrayBuffer())
      .subarray(4, 8)
      .toString(),
  ).toBe('ftyp');
  const thumbnail = await openai.videos.downloadContent(video.id, { variant: 'thumbnail' });
  expect(thumbnail.headers.get('content-type')).toBe('image/jpeg');

  const remix = await openai.videos.remix(video.id, { prompt: 'zoom out' });
  expect(remix).toMatchObject({ remixed_from_video_id: video.id, prompt: 'zoom out', size: video.size });
  expect((await finished(remix.id)).status).toBe('completed');

  const ids: string[] = [];
  for await (const { id } of openai.videos.list({ limit: 1 })) ids.push(id);
  expect(ids).toEqual([remix.id, video.id]);

  expect(await openai.videos.delete(video.id)).toEqual({
    id: video.id,
    object: 'video.deleted',
    deleted: true,
  });
  await expect(openai.videos.retrieve(video.id)).rejects.toThrow(OpenAI.NotFoundError);
});

it('throws its own errors, with our sentences, codes and parameters', async () => {
  const creating = openai.videos.create({
    prompt: 'zoom in',
    input_reference: await picture(),
    model: 'sora-2',
  });
  await expect(creating).rejects.toMatchObject({ status: 404, code: 'model_not_found', param: 'model' });
  await expect(openai.videos.create({ prompt: 'zoom in' })).rejects.toThrow(
    /Send a picture as input_reference/,
  );
  const stranger = new OpenAI({ apiKey: 'kinora', baseURL: `${web.url}/v1`, maxRetries: 0 });
  await expect(stranger.videos.list()).rejects.toThrow(OpenAI.AuthenticationError);
});
