/** How a picture comes to Create without a file being chosen, and how it is cropped with a finger. */
import type { CDPSession, Locator, Page } from 'playwright-core';
import sharp from 'sharp';
import { examplePath } from './examples.ts';
import { expect, test } from './studio.ts';

const stage = (page: Page): Locator => page.getByRole('region', { name: 'Picture' });
const shown = (page: Page): Locator => page.getByRole('img', { name: 'The picture that will be animated' });

async function middleOf(target: Locator): Promise<{ x: number; y: number }> {
  const box = await target.boundingBox();
  if (!box) throw new Error(`${target} is not on the screen`);
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
}

/** Drags files of this machine over a place of the page, as from a folder that is open beside the browser. */
async function dragOver(page: Page, target: Locator, files: readonly string[]): Promise<() => Promise<void>> {
  const protocol = await page.context().newCDPSession(page);
  const copy = 1;
  const place = {
    ...(await middleOf(target)),
    data: { items: [], files: [...files], dragOperationsMask: copy },
  };
  await protocol.send('Input.dispatchDragEvent', { type: 'dragEnter', ...place });
  await protocol.send('Input.dispatchDragEvent', { type: 'dragOver', ...place });
  return async () => {
    await protocol.send('Input.dispatchDragEvent', { type: 'drop', ...place });
  };
}

test('a picture is pasted', async ({ studio }) => {
  const page = await studio.open('/', { person: await studio.person() });
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByRole('button', { name: 'Choose a picture' }).waitFor();
  const png = (await sharp(examplePath('cat')).png().toBuffer()).toString('base64');
  await page.evaluate(`(async () => {
    const bytes = Uint8Array.from(atob('${png}'), (letter) => letter.charCodeAt(0));
    const picture = new Blob([bytes], { type: 'image/png' });
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': picture })]);
  })()`);
  await page.keyboard.press('Control+V');
  await shown(page).waitFor();
  await stage(page).getByText('451 × 300').waitFor();

  // Words go where they are written, and leave the picture alone.
  await page.evaluate(`navigator.clipboard.writeText('zoom in')`);
  const prompt = page.getByLabel('What should move, and how?');
  await prompt.focus();
  await page.keyboard.press('Control+V');
  await expect.poll(() => prompt.inputValue()).toBe('zoom in');
  await stage(page).getByText('451 × 300').waitFor();
});

test('a picture is dropped, anywhere on the page, and what is none is refused', async ({ studio }) => {
  const page = await studio.open('/', { person: await studio.person() });
  await page.getByRole('button', { name: 'Choose a picture' }).waitFor();
  const dropText = await dragOver(page, page.getByRole('heading', { name: 'Now' }), [
    examplePath('cat').replace(/cat\.jpg$/, 'README.md'),
  ]);
  await stage(page).getByText('Let go to use this picture').waitFor();
  await dropText();
  await page.getByRole('alert').getByText('That is not a picture.').waitFor();
  expect(await page.getByText('Let go to use this picture').count()).toBe(0);

  const drop = await dragOver(page, page.getByRole('heading', { name: 'Now' }), [examplePath('cat')]);
  await stage(page).getByText('Let go to use this picture').waitFor();
  await drop();
  await shown(page).waitFor();
  await stage(page).getByText('451 × 300').waitFor();
  expect(await page.getByRole('alert').count()).toBe(0);
});

/** Puts a finger on a target, moves it in two steps, and lifts it. */
async function swipe(protocol: CDPSession, target: Locator, byX: number, byY: number): Promise<void> {
  const { x, y } = await middleOf(target);
  const at = (part: number) => [{ x: x + byX * part, y: y + byY * part }];
  await protocol.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: at(0) });
  await protocol.send('Input.dispatchTouchEvent', { type: 'touchMove', touchPoints: at(0.5) });
  await protocol.send('Input.dispatchTouchEvent', { type: 'touchMove', touchPoints: at(1) });
  await protocol.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
}

test('a picture is cropped with a finger', async ({ studio }) => {
  const person = await studio.person();
  const page = await studio.open('/', { person, screen: 'phone', hasTouch: true });
  await page.setInputFiles('input[type=file]:not([capture])', examplePath('cat'));
  await page.getByRole('button', { name: 'Crop and rotate' }).tap();
  const dialog = page.getByRole('dialog');
  const frame = dialog.getByRole('group', { name: /^Frame/ });
  await dialog.getByText('451 × 300 pixels').waitFor();
  const protocol = await page.context().newCDPSession(page);
  const whole = await frame.boundingBox();
  if (!whole) throw new Error('the frame is on the screen');
  const { width, height } = whole;
  await swipe(protocol, dialog.getByRole('button', { name: 'Lower right corner' }), -width / 2, -height / 2);
  await expect.poll(async () => (await frame.boundingBox())?.width).toBeCloseTo(width / 2, -0.5);
  await swipe(protocol, frame, width / 4, height / 4);
  await expect.poll(async () => (await frame.boundingBox())?.x).toBeCloseTo(whole.x + width / 4, -0.5);
  // No farther than the picture goes.
  await swipe(protocol, frame, width, height);
  await expect.poll(async () => (await frame.boundingBox())?.x).toBeCloseTo(whole.x + width / 2, -0.5);
  await studio.screenshot(page, 'create-crop-finger');
  await dialog.getByRole('button', { name: 'Apply' }).tap();
  await stage(page)
    .getByText(/22[56] × 150/)
    .waitFor();
});
