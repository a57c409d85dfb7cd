/** The brush: what a person paints over a picture is what moves in its clip. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { z } from 'zod';
import { videoSchema } from '../../src/web/videos/schemas.ts';
import { columnsChange } from '../helpers/video-fixture.ts';
import type { BrowserPerson } from './browser-studio.ts';
import { expect, test } from './studio.ts';

const cat = fileURLToPath(new URL('../../examples/cat.jpg', import.meta.url));

/** Opens the window with the brush, and gives its area. */
async function startPainting(page: Page) {
  await page.setInputFiles('input[type=file]:not([capture])', cat);
  await page.locator('.picture-facts').getByText('451 × 300').waitFor();
  await page.getByRole('button', { name: 'Paint what moves' }).click();
  return page.getByRole('dialog').getByLabel('Painting area.');
}

/** Paints a line between two points, as parts of the area. */
async function drag(page: Page, from: readonly [number, number], to: readonly [number, number]) {
  const box = await page.getByRole('dialog').getByLabel('Painting area.').boundingBox();
  if (!box) throw new Error('there is no painting area');
  await page.mouse.move(box.x + box.width * from[0], box.y + box.height * from[1]);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * to[0], box.y + box.height * to[1], { steps: 4 });
  await page.mouse.up();
}

/** Strokes of the draft that this browser has kept by now. A page that is left in the same moment loses the last change. */
async function keptStrokes(page: Page): Promise<number> {
  const drafts = await page.evaluate(`new Promise((resolve) => {
    const opening = indexedDB.open('kinora');
    opening.onsuccess = () => {
      const reading = opening.result.transaction('drafts').objectStore('drafts').getAll();
      reading.onsuccess = () => resolve(reading.result.map(({ mask = [] }) => mask.length));
      reading.transaction.oncomplete = () => opening.result.close();
    };
  })`);
  return z
    .array(z.number())
    .parse(drafts)
    .reduce((sum, strokes) => sum + strokes, 0);
}

async function latestOf(ann: BrowserPerson) {
  const { data } = z
    .object({ data: z.array(videoSchema) })
    .parse(await (await ann.call('/v1/videos')).json());
  return data[0];
}

/** Mean change of the columns of a clip, given as parts of its width, from the first frame to the last, of 255. */
async function change(ann: BrowserPerson, id: string, size: string, from: number, to: number) {
  const folder = await mkdtemp(join(tmpdir(), 'kinora-mask-'));
  const file = join(folder, 'clip.mp4');
  await writeFile(file, Buffer.from(await (await ann.call(`/v1/videos/${id}/content`)).arrayBuffer()));
  const [width = 0, height = 0] = size.split('x').map(Number);
  const changed = columnsChange(file, [width, height], from, to);
  await rm(folder, { recursive: true });
  return changed;
}

test('only what is painted moves, and a remix keeps that until it is told otherwise', async ({ studio }) => {
  const ann = await studio.person();
  const page = await studio.open('/', { person: ann, screen: 'wide' });
  await startPainting(page);
  await page.getByRole('dialog').getByRole('slider', { name: 'Brush' }).fill('0.4');
  for (const y of [0.1, 0.35, 0.65, 0.9]) await drag(page, [0.75, y], [0.95, y]);
  await studio.screenshot(page, 'brush wide');
  await page.getByRole('dialog').getByRole('button', { name: 'Apply' }).click();
  await page.locator('.stage-mask').waitFor();
  await studio.screenshot(page, 'brush applied');
  await page.getByRole('radio', { name: /Fast/ }).check();
  await page.getByLabel('What should move, and how?').fill('fast zoom in');
  await page.getByRole('button', { name: 'Create', exact: true }).click();
  await expect.poll(async () => (await latestOf(ann))?.status).toBe('completed');
  const video = await latestOf(ann);
  expect(video?.has_motion_mask).toBe(true);
  const { id = '', size = '' } = video ?? {};
  expect(await change(ann, id, size, 0, 0.4)).toBeLessThan(1.5);
  expect(await change(ann, id, size, 0.75, 1)).toBeGreaterThan(5);

  await page.goto(`/?from=${id}`);
  const kept = page.getByRole('button', { name: 'Only what was painted moves' });
  expect(await kept.getAttribute('aria-pressed')).toBe('true');
  await kept.click();
  await studio.hold();
  await page.getByRole('button', { name: 'Create remix' }).click();
  await expect
    .poll(async () => await latestOf(ann))
    .toMatchObject({ remixed_from_video_id: id, has_motion_mask: false });
  await studio.letGo();
});

test('one paints by keyboard, takes strokes back, and finds them again after a reload', async ({
  studio,
}) => {
  const ann = await studio.person();
  const page = await studio.open('/', { person: ann, screen: 'phone' });
  const area = await startPainting(page);
  const dialog = page.getByRole('dialog');
  const undo = dialog.getByRole('button', { name: 'Undo' });
  expect(await undo.isDisabled()).toBe(true);
  await area.press('Space');
  for (let i = 0; i < 3; i++) await area.press('Shift+ArrowRight');
  await dialog.getByRole('button', { name: 'Erase' }).press('Enter');
  await area.press('ArrowUp');
  await area.press('Space');
  await studio.expectAccessible(page);
  await studio.expectNoSidewaysScroll(page);
  await studio.screenshot(page, 'brush phone');
  // A dot, three lines and what was erased
  for (let i = 0; i < 4; i++) await undo.press('Enter');
  expect(await undo.isDisabled()).toBe(false);
  await dialog.getByRole('button', { name: 'Apply' }).press('Enter');
  await page.locator('.stage-mask').waitFor();
  await expect.poll(() => keptStrokes(page)).toBeGreaterThan(0);
  await page.reload();
  await page.locator('.stage-mask').waitFor();
  const open = page.getByRole('button', { name: 'Paint what moves' });
  expect(await open.getAttribute('aria-pressed')).toBe('true');
  await open.click();
  await dialog.getByRole('button', { name: 'Clear' }).click();
  await dialog.getByRole('button', { name: 'Apply' }).click();
  await page.locator('.stage-mask').waitFor({ state: 'detached' });
});
