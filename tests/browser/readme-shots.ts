/**
 * `npm run screenshots:readme`: the two pictures of the page that the README shows, in docs/images. Option: --only create
 * or --only library
 */
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Page } from 'playwright-core';
import sharp from 'sharp';
import { type BrowserPerson, isAtRest, type Studio } from './browser-studio.ts';
import { example, examplePath } from './examples.ts';
import { withStudio } from './with-studio.ts';

const folder = fileURLToPath(new URL('../../docs/images', import.meta.url));
const look = { screen: 'readme', pixelRatio: 2 } as const;
/** Of the pictures in the README, which shows them at half of it. */
const width = 1600;

const clips = [
  ['astronaut', 'slow zoom out', 'fast'],
  ['coffee', 'steam rising, camera tilting up', 'standard'],
  ['cat', 'pan left, swaying in the wind', 'fast'],
  ['cat', 'camera rotating clockwise', 'standard'],
  ['coffee', 'camera rotating counterclockwise', 'standard'],
  ['astronaut', 'swaying in the wind', 'fast'],
  ['cat', 'camera slowly zooming in', 'standard'],
] as const;

async function fill(ada: BrowserPerson, wanted: readonly (typeof clips)[number][]): Promise<void> {
  for (const [name, prompt, preset] of wanted) {
    const answer = await ada.post({ prompt, preset }, { picture: await example(name) });
    const { id } = (await answer.json()) as { id: string };
    await ada.finished(id);
  }
}

async function save(page: Page, name: string): Promise<void> {
  await page.locator('img, canvas').first().waitFor();
  while (!(await page.evaluate<boolean>(isAtRest))) await page.waitForTimeout(100);
  await page.evaluate('Promise.all([...document.images].map((image) => image.decode())).then(() => {})');
  await page.waitForTimeout(1_000);
  const png = await page.screenshot();
  await sharp(png).resize({ width }).webp({ quality: 82 }).toFile(`${folder}/${name}.webp`);
}

/** A picture and a prompt are ready to be sent; beside them, one video is made and others are done. */
async function create(studio: Studio, ada: BrowserPerson): Promise<void> {
  const answer = await ada.post(
    { prompt: 'camera slowly zooming in', preset: 'standard' },
    { picture: await example('coffee') },
  );
  const { id } = (await answer.json()) as { id: string };
  const page = await studio.open('/', { person: ada, colorScheme: 'light', ...look });
  await page.locator('input[type=file]').first().setInputFiles(examplePath('cat'));
  await page.getByRole('button', { name: 'Waves', exact: true }).click();
  await page.getByRole('button', { name: 'Pan right', exact: true }).click();
  await page.getByText(/^Step [1-9] of/).waitFor();
  await page.locator('body').click({ position: { x: 5, y: 300 } });
  await save(page, 'create');
  await ada.call(`/v1/videos/${id}/cancel`, { method: 'POST' });
}

const { values } = parseArgs({ options: { only: { type: 'string' } } });
await mkdir(folder, { recursive: true });
await withStudio(async (openStudio) => {
  const studio = openStudio();
  const ada = await studio.person();
  await fill(ada, values.only === 'create' ? clips.slice(-3) : clips);
  const inLibrary = { person: ada, colorScheme: 'dark', ...look } as const;
  if (values.only !== 'create') await save(await studio.open('/library', inLibrary), 'library');
  if (values.only !== 'library') await create(studio, ada);
  await studio.close();
});
