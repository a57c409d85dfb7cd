/** What people do on the page from beginning to end, in a real browser, with the built-in model. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Locator, Page } from 'playwright-core';
import { describe } from 'vitest';
import { startFakeTelegram } from '../fakes/telegram/server.ts';
import { RunningKinora } from '../helpers/running-kinora.ts';
import { photo } from '../helpers/web-person.ts';
import { Studio } from './browser-studio.ts';
import { examplePath } from './examples.ts';
import { expect, test } from './studio.ts';

const cat = examplePath('cat');

/** The jobs under "Now". */
const now = (page: Page): Locator => page.getByRole('region', { name: 'Now' });

async function choosePicture(page: Page): Promise<void> {
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), choosing(page).click()]);
  await chooser.setFiles(cat);
  await page.getByRole('img', { name: 'The picture that will be animated' }).waitFor();
}

const choosing = (page: Page): Locator => page.getByRole('button', { name: 'Choose a picture' });
const create = (page: Page): Locator => page.getByRole('button', { name: 'Create', exact: true });

/** Whether the clip really plays: it has frames, and its time goes on. */
async function expectPlaying(video: Locator): Promise<void> {
  await video.waitFor();
  await expect
    .poll(() => video.evaluate((element: { currentTime: number; videoWidth: number }) => element.videoWidth))
    .toBeGreaterThan(0);
  const timeOf = (): Promise<number> =>
    video.evaluate((element: { currentTime: number }) => element.currentTime);
  const before = await timeOf();
  await expect.poll(timeOf).not.toBe(before);
}

/** Presses Tab until that has the focus. */
async function tabTo(page: Page, target: Locator): Promise<void> {
  for (let presses = 0; presses < 80; presses++) {
    if (await target.evaluate((element: { matches(selector: string): boolean }) => element.matches(':focus')))
      return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`${target} cannot be reached by Tab`);
}

describe('from chat to page', () => {
  test('the link of /web signs that person in, once; the clip of the chat is remixed; deletion holds for both', async ({
    browser,
    onTestFinished,
  }) => {
    const telegram = await startFakeTelegram();
    const kinora = await RunningKinora.start({
      KINORA_TELEGRAM_TOKEN: telegram.token,
      KINORA_TELEGRAM_API: telegram.apiRoot,
    });
    const studio = new Studio(browser, kinora);
    onTestFinished(async () => {
      await studio.close();
      await kinora.stop();
      await telegram.stop();
    });
    const chat = telegram.privateChat();
    await chat.sendsPhoto(photo, 'camera slowly zooming in preset=fast');
    await telegram.until(() => telegram.answers(chat).some(({ video }) => video !== undefined), 120_000);
    chat.sendsText('/web');
    const link = await telegram.until(() =>
      telegram
        .answers(chat)
        .map(({ text }) => /http\S+\/sign-in#\S+/.exec(text)?.[0])
        .find(Boolean),
    );
    if (link === undefined) throw new Error('/web answers with a link');

    studio.allow(/status of 401/);
    const page = await studio.open(link);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('link', { name: 'Library', exact: true }).click();
    await page.getByRole('link', { name: /camera slowly zooming in/ }).click();
    await expectPlaying(page.locator('video'));
    await page.getByRole('button', { name: 'Remix' }).click();
    await page.getByRole('textbox', { name: 'Prompt' }).fill('camera rotating clockwise');
    await page.getByRole('button', { name: /Make it/ }).click();
    await page.getByRole('heading', { name: 'Family' }).waitFor();
    await expectPlaying(page.locator('video'));

    // Somebody who finds the link later.
    studio.allow(/status of 410/);
    const other = await studio.open(link);
    await other.getByText('This link does not work any more').waitFor();
    await studio.expectAccessible(other);

    await page.getByRole('link', { name: 'Account' }).click();
    await page.getByRole('button', { name: 'Delete everything…' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('textbox').fill('delete');
    await dialog.getByRole('button', { name: 'Delete everything' }).click();
    await page.getByText('Everything about you is deleted').waitFor();
    // That of the chat, too.
    expect(await studio.redis.keys('{kinora}:history:*')).toEqual([]);
    expect((await readdir(join(kinora.folder, 'data', 'jobs'))).length).toBe(0);
    expect(studio.faults).toEqual([]);
  });
});

describe('on the page', () => {
  test('a picture becomes a clip, over a reload and a closed page', async ({ studio }) => {
    const ann = await studio.person();
    await studio.hold();
    const page = await studio.open('/', { person: ann });
    await choosePicture(page);
    await page.getByRole('button', { name: 'Zoom in' }).click();
    await page.getByRole('radio', { name: /Standard/ }).check();
    await studio.expectAccessible(page);
    await create(page).click();
    await now(page).getByRole('progressbar').waitFor();
    await page.reload();
    await now(page).getByRole('progressbar').waitFor();
    await page.close();

    const later = await studio.open('/', { person: ann });
    await now(later).getByRole('progressbar').waitFor();
    await studio.letGo();
    await expect.poll(() => later.title()).toMatch(/^\d+ % · /);
    const done = now(later).getByRole('article').first();
    await done.getByRole('button', { name: /Play/ }).click();
    await expectPlaying(done.locator('video'));
    const videos = (await (await ann.call('/v1/videos')).json()) as { data: unknown[] };
    expect(videos.data).toHaveLength(1);
  });

  test('several at once; what is cancelled costs nothing', async ({ studio }) => {
    const ann = await studio.person();
    await studio.hold();
    const page = await studio.open('/', { person: ann });
    await choosePicture(page);
    await page.getByRole('textbox', { name: /What should move/ }).fill('first');
    await page.getByRole('radio', { name: /High/ }).check();
    await create(page).click();
    await now(page).getByRole('article', { name: 'first' }).waitFor();
    await page.getByRole('textbox', { name: /What should move/ }).fill('second');
    await create(page).click();
    const second = now(page).getByRole('article', { name: 'second' });
    await second.waitFor();
    for (const name of ['second', 'first']) {
      await now(page).getByRole('article', { name }).getByRole('button', { name: 'Cancel' }).click();
    }
    for (const name of ['second', 'first']) {
      await now(page)
        .getByRole('article', { name })
        .getByText(/Cancelled/)
        .waitFor();
    }
    await studio.expectAccessible(page);
    const account = (await (await ann.call('/v1/account')).json()) as { credits: { used: number } };
    expect(account.credits.used).toBe(0);
  });

  test('a remix keeps the picture and the settings', async ({ studio }) => {
    const ann = await studio.person();
    const { id } = await ann.finished((await ann.create({ preset: 'fast', seed: '7' })).id);
    const page = await studio.open('/', { person: ann });
    await now(page).getByRole('link', { name: 'Remix' }).click();
    await page.getByText('The settings of that clip are loaded').waitFor();
    await page.getByRole('textbox', { name: /What should move/ }).fill('camera panning left');
    await page.getByRole('button', { name: 'Create remix' }).click();
    const remix = now(page).getByRole('article', { name: 'camera panning left' });
    await remix.getByRole('button', { name: /Play/ }).waitFor();
    const { data } = (await (await ann.call('/v1/videos')).json()) as {
      data: { remixed_from_video_id: string; seed: number; prompt: string }[];
    };
    expect(data[0]).toMatchObject({ remixed_from_video_id: id, seed: 7, prompt: 'camera panning left' });
  });

  test('all of it on a phone, with a finger', async ({ studio }) => {
    const ann = await studio.person();
    const page = await studio.open('/', {
      person: ann,
      screen: 'phone',
      hasTouch: true,
      colorScheme: 'dark',
    });
    const [chooser] = await Promise.all([
      page.waitForEvent('filechooser'),
      page.getByRole('button', { name: 'Choose a picture' }).tap(),
    ]);
    await chooser.setFiles(cat);
    await page.getByRole('button', { name: 'Zoom out' }).tap();
    await page.getByRole('radio', { name: /Fast/ }).tap({ force: true });
    await studio.expectNoSidewaysScroll(page);
    await create(page).tap();
    const done = now(page).getByRole('article');
    await done.getByRole('button', { name: /Play/ }).tap();
    await expectPlaying(done.locator('video'));
    await studio.expectNoSidewaysScroll(page);
    await page.getByRole('link', { name: 'Library', exact: true }).tap();
    await page.getByRole('main').getByRole('listitem').getByRole('link').first().tap();
    await page.getByRole('button', { name: 'Remix' }).waitFor();
    await studio.expectNoSidewaysScroll(page);
  });

  test('all of it with the keyboard alone', async ({ studio }) => {
    const ann = await studio.person();
    const page = await studio.open('/', { person: ann, screen: 'wide' });
    await tabTo(page, page.getByRole('link', { name: 'Skip to the content' }));
    await page.keyboard.press('Enter');
    const choose = page.getByRole('button', { name: 'Choose a picture' });
    await tabTo(page, choose);
    const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.keyboard.press('Enter')]);
    await chooser.setFiles(cat);
    await tabTo(page, page.getByRole('textbox', { name: /What should move/ }));
    await page.keyboard.type('zoom');
    await tabTo(page, page.getByRole('button', { name: 'Zoom in' }));
    await page.keyboard.press('Space');
    await tabTo(page, page.getByRole('radio', { checked: true }));
    await page.keyboard.press('ArrowUp');
    await tabTo(page, create(page));
    await page.keyboard.press('Enter');
    const play = now(page).getByRole('button', { name: /Play/ });
    await play.waitFor();
    await tabTo(page, play);
    await page.keyboard.press('Enter');
    await expectPlaying(now(page).locator('video'));
    const remix = now(page).getByRole('link', { name: 'Remix' });
    await tabTo(page, remix);
    await page.keyboard.press('Enter');
    await page.getByText('The settings of that clip are loaded').waitFor();
  });
});

describe('the first load', () => {
  test('is at most 80 kB of script, and nothing on it moves by itself', async ({ studio }) => {
    const page = await studio.open('/', { person: await studio.person() });
    await create(page).waitFor();
    const bytes = await page.evaluate<number>(
      `performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('.js')).reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)`,
    );
    expect(bytes).toBeGreaterThan(10_000);
    expect(bytes).toBeLessThanOrEqual(80_000);
    for (const path of ['/', '/library', '/account']) {
      await page.goto(path);
      expect(await studio.layoutShift(page), path).toBe(0);
    }
  });
});
