/** What the model understood of a prompt, over the API: by a real worker with the model that ships. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { builtinPackPath } from '../helpers/golden.ts';
import { WebFixture } from '../helpers/web-fixture.ts';

let web: WebFixture;
beforeAll(async () => {
  web = await WebFixture.start();
});
afterAll(() => web.stop());

it('a video tells which motions were asked for and which were done, once it is made', async () => {
  await web.realWorker(builtinPackPath);
  const ann = await web.person();
  const options = { size: '128', num_frames: '2' };
  const asked = await ann.create({ ...options, prompt: 'Zoom out quickly' });
  const silent = await ann.create({ ...options, prompt: 'my cat' });
  expect(asked.understood).toBeNull();
  const zoom = [{ motion: 'zoom-out', speed: 'fast' }];
  expect(await ann.finished(asked.id)).toMatchObject({ understood: { asked: zoom, done: zoom } });
  const pushIn = [{ motion: 'zoom-in', speed: 'slow' }];
  expect(await ann.finished(silent.id)).toMatchObject({ understood: { asked: [], done: pushIn } });
});
