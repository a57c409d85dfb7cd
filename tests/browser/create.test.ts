/** Create and the person's latest videos: from a picture to a clip, by mouse and by keyboard, through refusals and outages. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { AuditTrail } from '../../src/queue/audit.ts';
import { Keys } from '../../src/queue/keys.ts';
import { ModeSwitch } from '../../src/queue/mode.ts';
import { studioSchema } from '../../src/web/studio.ts';
import { log } from '../helpers/queue-harness.ts';
import { expect, test } from './studio.ts';

const cat = fileURLToPath(new URL('../../examples/cat.jpg', import.meta.url));

const choosePicture = (page: Page): Promise<void> =>
  page.setInputFiles('input[type=file]:not([capture])', cat);
const send = (page: Page): Promise<void> => page.getByRole('button', { name: 'Create', exact: true }).click();
const factsOf = (page: Page) => page.locator('.picture-facts');

test('a picture is cropped and turned by keyboard, and the draft survives a reload', async ({ studio }) => {
  const ann = await studio.person();
  const page = await studio.open('/', { person: ann, screen: 'wide' });
  await choosePicture(page);
  await factsOf(page).getByText('451 × 300').waitFor();
  await page.getByRole('button', { name: 'Crop and rotate' }).press('Enter');
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Rotate right' }).press('Enter');
  await dialog.getByText('300 × 451 pixels').waitFor();
  await dialog.getByRole('button', { name: '1:1' }).press('Enter');
  await dialog.getByText('300 × 300 pixels').waitFor();
  const corner = dialog.getByRole('button', { name: 'Lower right corner' });
  for (let i = 0; i < 5; i++) await corner.press('ArrowLeft');
  await dialog.getByText('270 × 270 pixels').waitFor();
  await studio.expectAccessible(page);
  await dialog.getByRole('button', { name: 'Apply' }).press('Enter');
  await factsOf(page).getByText('270 × 270').waitFor();

  const prompt = page.getByLabel('What should move, and how?');
  await prompt.fill('a beautiful cat');
  const chip = page.getByRole('button', { name: 'Zoom in' });
  await chip.press('Space');
  expect(await prompt.inputValue()).toBe('a beautiful cat, camera slowly zooming in');
  expect(await chip.getAttribute('aria-pressed')).toBe('true');
  await page.getByRole('radio', { name: /Fast/ }).check();
  await page.getByText('More settings').click();
  await page.getByRole('button', { name: 'Roll a seed' }).click();
  const seed = await page.getByLabel('Seed', { exact: true }).inputValue();
  expect(Number(seed)).toBeGreaterThanOrEqual(0);

  await page.reload();
  await factsOf(page).getByText('270 × 270').waitFor();
  expect(await prompt.inputValue()).toBe('a beautiful cat, camera slowly zooming in');
  expect(await page.getByRole('radio', { name: /Fast/ }).isChecked()).toBe(true);
  await studio.hold();
  await send(page);
  await page.getByRole('button', { name: 'Cancel' }).waitFor();
  await studio.letGo();
  await expect
    .poll(async () => (await (await ann.call('/v1/videos')).json()) as unknown)
    .toMatchObject({ data: [{ seed: Number(seed), preset: 'fast' }] });
  const { data } = (await (await ann.call('/v1/videos')).json()) as { data: { id: string }[] };
  const made = await ann.finished(data[0]?.id ?? '');
  expect(made).toMatchObject({ status: 'completed', size: '400x400' });
  await page.getByRole('button', { name: /^Play/ }).click();
  await page.locator('video[controls]').waitFor();
});

test('the licence of the model is shown, and what it wants said', async ({ studio }) => {
  const ann = await studio.person();
  const page = await studio.open('/', { person: ann });
  await page.getByText(/licence: MIT AND Apache-2.0$/).waitFor();
  await page.route(/\/v1\/studio/, async (route) => {
    const response = await route.fetch();
    const body = studioSchema.parse(await response.json());
    const models = body.models.map((model) => ({ ...model, attribution: 'Powered by somebody' }));
    await route.fulfill({ response, json: { ...body, models } });
  });
  await page.reload();
  await page.getByText(/licence: MIT AND Apache-2.0 · Powered by somebody/).waitFor();
  await page.unrouteAll();
});

test('what is refused is said where it belongs, and nothing that was set is lost', async ({ studio }) => {
  studio.allow(/status of 415/);
  const ann = await studio.person();
  const page = await studio.open('/', { person: ann });
  await send(page);
  await page.getByRole('alert').getByText('Choose a picture first.').waitFor();
  await choosePicture(page);
  expect(await page.getByRole('alert').count()).toBe(0);
  await page.locator('input[type=file]:not([capture])').setInputFiles({
    name: 'broken.png',
    mimeType: 'image/png',
    buffer: Buffer.from('not a picture'),
  });
  await page.getByText('This browser cannot show the picture.').waitFor();
  await send(page);
  await page.locator('.picture-field').getByRole('alert').waitFor();
  await studio.expectAccessible(page);

  const mode = new ModeSwitch(new AuditTrail(studio.redis, new Keys()), log);
  try {
    await mode.pause('web:test');
    await page.reload();
    await page.getByText('Kinora is paused by its admins.').waitFor();
    expect(await page.getByRole('button', { name: 'Create', exact: true }).isDisabled()).toBe(true);
  } finally {
    await mode.resume('web:test');
    await mode.close();
  }
  await page.getByText('Kinora is paused by its admins.').waitFor({ state: 'detached' });
});

test('several videos are followed at once, through a reload and an outage, and one is cancelled', async ({
  studio,
}) => {
  studio.allow(/ERR_INTERNET_DISCONNECTED|request failed/);
  const ann = await studio.person();
  const page = await studio.open('/', { person: ann, screen: 'phone' });
  await choosePicture(page);
  await factsOf(page).getByText('451 × 300').waitFor();
  await page.getByRole('radio', { name: /Fast/ }).check();
  await studio.hold();
  for (let i = 0; i < 3; i++) {
    await page.getByRole('button', { name: 'Static camera' }).click();
    await send(page);
    await expect.poll(() => page.locator('.job').count()).toBe(i + 1);
  }
  await page
    .locator('.job', { hasText: /before it|Next in line/ })
    .first()
    .waitFor();
  await page.locator('.job').first().getByRole('button', { name: 'Cancel' }).click();
  await page.getByText('Cancelled. Nothing was charged.').waitFor();
  await page.reload();
  await expect.poll(() => page.locator('.job').count()).toBe(3);
  await studio.letGo();
  await page.context().setOffline(true);
  await page.getByText('Kinora does not answer.').waitFor();
  await studio.expectAccessible(page);
  await page.context().setOffline(false);
  await page.getByText('Kinora does not answer.').waitFor({ state: 'detached' });
  await expect.poll(() => page.locator('.job-done').count()).toBe(2);
  await page.getByText('Use these settings').waitFor();
});

test('settings of a clip are loaded by its address, and the remix has its picture', async ({ studio }) => {
  const ann = await studio.person();
  const answer = await ann.post(
    { prompt: 'waves rolling', preset: 'fast', seed: '4', loop: 'true' },
    { picture: await readFile(cat) },
  );
  const { id } = (await answer.json()) as { id: string };
  await ann.finished(id);
  const page = await studio.open(`/?from=${id}`, { person: ann });
  await page.getByText('The settings of that clip are loaded.').waitFor();
  await page.locator('.job', { hasText: 'No water that could move was found in this picture' }).waitFor();
  const prompt = page.getByLabel('What should move, and how?');
  await expect.poll(() => prompt.inputValue()).toBe('waves rolling');
  await page.getByAltText('The picture of the clip that is remixed').waitFor();
  await studio.expectAccessible(page);
  await prompt.fill('camera tilting up');
  await page.getByRole('button', { name: 'Create remix' }).click();
  await expect
    .poll(async () => (await (await ann.call('/v1/videos')).json()) as unknown)
    .toMatchObject({
      data: [
        { prompt: 'camera tilting up', seed: 4, loop: true, preset: 'fast', remixed_from_video_id: id },
        { id },
      ],
    });
  await page.getByRole('button', { name: 'Start afresh' }).click();
  expect(await prompt.inputValue()).toBe('');
});

test('nothing moves while the page is loaded', async ({ studio }) => {
  const ann = await studio.person();
  const page = await studio.open('/', { person: ann, screen: 'tablet' });
  await choosePicture(page);
  await factsOf(page).getByText('451 × 300').waitFor();
  await page.getByLabel('What should move, and how?').fill('zoom in');
  const shiftsOf = (): Promise<number> =>
    page.evaluate<number>(`new Promise((resolve) => {
      new PerformanceObserver((list) => resolve(list.getEntries().reduce((sum, { value }) => sum + value, 0)))
        .observe({ type: 'layout-shift', buffered: true });
      setTimeout(() => resolve(0), 1000);
    })`);
  await page.reload();
  await factsOf(page).getByText('451 × 300').waitFor();
  await page.getByRole('heading', { name: 'Your videos appear here' }).waitFor();
  expect(await shiftsOf()).toBeLessThan(0.01);
});

test('a notification tells of a video that is done while nobody looks', async ({ studio }) => {
  const ann = await studio.person();
  await studio.hold();
  await ann.create({ prompt: 'zoom in', preset: 'fast', size: '128', num_frames: '4' });
  const page = await studio.open('/', { person: ann });
  await page.getByRole('article', { name: 'zoom in' }).waitFor();
  await page.context().grantPermissions(['notifications']);
  await page.getByRole('button', { name: 'Tell me when done' }).click();
  await page.getByRole('button', { name: 'You will be told', pressed: true }).waitFor();
  await page.evaluate(`{
    const Own = Notification;
    globalThis.told = [];
    globalThis.Notification = class extends Own {
      constructor(title, options) {
        super(title, options);
        told.push(title + ': ' + options.body);
      }
    };
  }`);
  const told = (): Promise<string[]> => page.evaluate('told');
  // A tab that others hide: this browser has no window that could.
  await page.evaluate(`{
    Object.defineProperty(document, 'hidden', { value: true, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }`);
  await studio.letGo();
  await expect.poll(told).toEqual(['Your video is ready: zoom in']);
  // The page asks for what is new when it is seen again.
  await studio.hold();
  await ann.create({ prompt: 'zoom out', preset: 'fast', size: '128', num_frames: '4' });
  await page.evaluate(`{
    delete document.hidden;
    document.dispatchEvent(new Event('visibilitychange'));
  }`);
  await page.getByRole('article', { name: 'zoom out' }).getByRole('button', { name: 'Cancel' }).waitFor();
  // Whoever looks sees it by themselves.
  await studio.letGo();
  await page.getByRole('article', { name: 'zoom out' }).getByRole('button', { name: /^Play/ }).waitFor();
  expect(await told()).toHaveLength(1);
});
