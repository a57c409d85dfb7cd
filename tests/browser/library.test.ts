/** The library and the page of a clip, in a real browser, with clips of the built-in model. */
import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { describe } from 'vitest';
import { Keys } from '../../src/queue/keys.ts';
import type { Video } from '../../src/web/videos/schemas.ts';
import { type BrowserPerson, type Studio, screens } from './browser-studio.ts';
import { expect, test } from './studio.ts';

const keys = new Keys();
const tiny = { preset: 'fast', size: '128', num_frames: '4' };

async function made(
  person: BrowserPerson,
  prompt: string,
  fields: Record<string, string> = {},
): Promise<Video> {
  return await person.finished((await person.create({ prompt, ...tiny, ...fields })).id);
}

/** Entries that a long history has, without the work of making them: they failed. */
async function failedBefore(studio: Studio, person: BrowserPerson, count: number): Promise<void> {
  const batch = studio.redis.pipeline();
  for (let i = 0; i < count; i++) {
    const id = `video-${person.userKey.replace(/\W/g, '')}-${i}`;
    const generation = { prompt: `long ago ${i}`, preset: 'fast', seed: i, size: '640x480' };
    const request = { id, userKey: person.userKey, surface: 'web', generation, replyTo: {} };
    const times = { createdAt: 1_700_000_000_000 + i, deliveredAt: 1, endedAt: 1 };
    const state = { state: 'failed', user: person.userKey, preset: 'fast', starts: 1, cost: 1, tag: 0 };
    batch.hset(keys.job(id), { ...state, ...times, request: JSON.stringify(request) });
    batch.zadd(keys.history(person.userKey), times.createdAt, id);
  }
  await batch.exec();
}

/** How much moved by itself while the page came up, as the browser counts it. */
const shiftOf = (page: Page): Promise<number> =>
  page.evaluate<number>(`new Promise((resolve) => {
    let sum = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
    setTimeout(() => resolve(sum), 200);
  })`);

const isLoaded = `[...document.images].every(({ naturalWidth }) => naturalWidth > 0)`;
const tiles = (page: Page) => page.getByRole('main').getByRole('listitem');
const plays = (page: Page): Promise<number> => page.locator('.clip-tile video').count();

describe('the library', () => {
  test('thumbnails that did not come while Kinora was away come when it is back', async ({ studio }) => {
    studio.allow(/ERR_|request failed/);
    const ann = await studio.person();
    await made(ann, 'zoom in');
    const page = await studio.open('/', { person: ann });
    const thumbnails = '**/content?variant=thumbnail';
    await page.route(thumbnails, (route) => route.abort());
    await page.reload();
    const picture = page.locator('.job-clip img');
    await picture.waitFor({ state: 'attached' });
    await expect.poll(() => picture.isHidden()).toBe(true);
    await page.context().setOffline(true);
    await page.getByText('Kinora does not answer.').waitFor();
    await page.unroute(thumbnails);
    await page.context().setOffline(false);
    await page.getByText('Kinora does not answer.').waitFor({ state: 'detached' });
    await expect.poll(() => picture.isVisible()).toBe(true);
    await expect.poll(() => page.evaluate(isLoaded)).toBe(true);
  });

  test('plays what is looked at, finds it again, and keeps favourites', async ({ studio }) => {
    const ann = await studio.person();
    await made(ann, 'zoom in on the cat');
    await made(ann, '海浪翻滚', { preset: 'standard' });
    const page = await studio.open('/library', { person: ann });
    await expect.poll(() => tiles(page).count()).toBe(2);
    expect(await shiftOf(page)).toBe(0);
    await studio.expectAccessible(page);

    // By pointer, and by keyboard.
    expect(await plays(page)).toBe(0);
    await page.getByRole('link', { name: /zoom in/ }).hover();
    await expect.poll(() => plays(page)).toBe(1);
    await page.mouse.move(0, 0);
    await expect.poll(() => plays(page)).toBe(0);
    await page.getByRole('searchbox').focus();
    for (let i = 0; i < 3; i++) await page.keyboard.press('Tab');
    await expect.poll(() => page.evaluate('document.activeElement.textContent')).toMatch(/海浪/);
    await expect.poll(() => plays(page)).toBe(1);

    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Favourites' }).click();
    await expect.poll(() => page.url()).toMatch(/\/library\?favourites=1$/);
    await expect.poll(() => tiles(page).count()).toBe(1);
    await page.reload();
    await expect.poll(() => page.getByRole('link', { name: /海浪/ }).count()).toBe(1);
    await expect.poll(() => tiles(page).count()).toBe(1);

    await page.goto('/library');
    await page.getByRole('searchbox').fill('CAT zoom');
    await expect.poll(() => page.url()).toMatch(/q=CAT\+zoom/);
    await expect.poll(() => tiles(page).count()).toBe(1);
    await page.getByRole('combobox', { name: 'Preset' }).selectOption('high');
    await page.getByText('No clip matches').waitFor();
    await studio.expectAccessible(page);
    await page.getByRole('button', { name: 'Clear filters' }).click();
    await expect.poll(() => tiles(page).count()).toBe(2);
    expect(await page.getByRole('searchbox').inputValue()).toBe('');
  });

  test('shows new clips when they are made, and none while there are none', async ({ studio }) => {
    const bob = await studio.person();
    const page = await studio.open('/library', { person: bob, screen: 'phone', colorScheme: 'dark' });
    await page.getByText('Nothing here yet').waitFor();
    await studio.expectAccessible(page);
    await made(bob, 'zoom in');
    // As one comes back to the page.
    await page.evaluate('document.dispatchEvent(new Event("visibilitychange"))');
    await expect.poll(() => tiles(page).count()).toBe(1);
    await studio.expectNoSidewaysScroll(page);
  });

  test('goes on at its end, and comes back to where one was', async ({ studio }) => {
    const carl = await studio.person();
    await failedBefore(studio, carl, 130);
    const page = await studio.open('/library', { person: carl, screen: 'wide' });
    // On a tall screen the second forty come by themselves.
    await expect.poll(() => tiles(page).count()).toBeGreaterThanOrEqual(40);
    await page.getByRole('button', { name: 'Show more' }).focus();
    await page.keyboard.press('Enter');
    await expect.poll(() => page.evaluate('document.activeElement.textContent')).toMatch(/long ago/);
    // Pressed while a page of the list is still being laid out, it leads to where the end was before.
    const end = page.getByText('That is all: 130 clips.');
    await expect
      .poll(async () => {
        await page.keyboard.press('End');
        return await end.isVisible();
      })
      .toBe(true);
    const link = page.getByRole('link', { name: /long ago 3\b/ });
    await link.scrollIntoViewIfNeeded();
    const before = await page.evaluate<number>('scrollY');
    expect(before).toBeGreaterThan(500);
    await link.click();
    await page.getByRole('heading', { name: 'This clip could not be made' }).waitFor();
    expect(await page.evaluate<number>('scrollY')).toBe(0);
    await page.keyboard.press('ArrowLeft');
    await page.locator('.clip-title', { hasText: 'long ago 4' }).waitFor();
    await page.getByRole('link', { name: 'Older →' }).click();
    await page.locator('.clip-title', { hasText: 'long ago 3' }).waitFor();
    await page.getByRole('link', { name: '← Library' }).click();
    await expect.poll(() => page.evaluate<number>('scrollY')).toBe(before);
    expect(await page.evaluate('document.activeElement.textContent')).toMatch(/long ago 3/);
    expect(await tiles(page).count()).toBe(130);
  });

  test('plays nothing for those who want less motion, and by a press for fingers', async ({ studio }) => {
    const dora = await studio.person();
    await made(dora, 'zoom in');
    const still = await studio.open('/library', { person: dora, reducedMotion: 'reduce' });
    await still.getByRole('link', { name: /zoom in/ }).hover();
    await still.getByRole('link', { name: /zoom in/ }).focus();
    expect(await plays(still)).toBe(0);
    const phone = await studio.open('/library', { person: dora, screen: 'phone', hasTouch: true });
    await phone.getByRole('link', { name: /zoom in/ }).waitFor();
    await phone
      .locator('.clip-play button')
      .evaluate((button) => (button as unknown as { click(): void }).click());
    await expect.poll(() => plays(phone)).toBe(1);
    await studio.expectAccessible(phone);
  });

  test('fetches nothing of a covered clip before somebody wants to see it', async ({ studio }) => {
    const eve = await studio.person();
    const { id } = await made(eve, 'secret');
    const request = JSON.parse((await studio.redis.hget(keys.job(id), 'request')) ?? '');
    await studio.redis.hset(keys.job(id), 'request', JSON.stringify({ ...request, isSpoiler: true }));
    const page = await studio.open('/library', { person: eve });
    const fetched: string[] = [];
    page.on('request', (asked) => void fetched.push(asked.url()));
    const link = page.getByRole('link', { name: /Covered/ });
    await link.hover();
    await link.click();
    const show = page.getByRole('button', { name: 'Show it' });
    await show.waitFor();
    await studio.expectAccessible(page);
    expect(fetched.filter((url) => url.includes('/content'))).toEqual([]);
    expect(await page.getByText('secret').count()).toBe(0);
    await show.click();
    await page.getByText('secret').first().waitFor();
    await expect.poll(() => fetched.some((url) => url.includes('/content'))).toBe(true);
  });
});

describe('the page of a clip', () => {
  test('follows a remix until it plays, and shows the family', async ({ studio }) => {
    const ann = await studio.person();
    const { id, seed } = await made(ann, 'zoom in', { seed: '7' });
    const page = await studio.open(`/library/${id}`, { person: ann });
    await page.locator('video').waitFor();
    await studio.expectAccessible(page);
    expect(await page.locator('video').getAttribute('loop')).not.toBeNull();

    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Download' }).click(),
    ]);
    expect(download.suggestedFilename()).toMatch(/^zoom-in-7-\d+x\d+\.mp4$/);
    expect((await readFile(await download.path())).subarray(4, 8).toString()).toBe('ftyp');

    await page.getByRole('button', { name: 'Remix' }).click();
    await page.getByRole('textbox', { name: 'Prompt' }).fill('waves rolling');
    await studio.expectAccessible(page);
    await page.getByRole('button', { name: /Make it · 1 credit/ }).click();
    await expect.poll(() => page.url()).not.toContain(id);
    await page.locator('video').waitFor();
    await page.getByRole('heading', { name: 'Family' }).waitFor();
    const current = page.locator('.clip-relative[aria-current]');
    await expect.poll(() => current.textContent()).toContain('Remix · this clip');
    await expect.poll(() => current.textContent()).toContain(`Seed ${seed}`);
    await page.getByRole('link', { name: /^First/ }).click();
    await expect.poll(() => page.url()).toContain(id);
  });

  test('copies what it was made with, makes versions, and is deleted', async ({ studio }) => {
    const ann = await studio.person();
    const { id, seed } = await made(ann, 'zoom in', { seed: '9' });
    const page = await studio.open(`/library/${id}`, { person: ann, screen: 'phone' });
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    const copied = (): Promise<string> => page.evaluate('navigator.clipboard.readText()');
    await page.getByRole('button', { name: 'Copy: Seed' }).click();
    await expect.poll(copied).toBe(String(seed));
    await page.getByRole('button', { name: 'Copy all' }).click();
    await expect.poll(copied).toMatch(/^Prompt: zoom in\n.*\nSeed: 9\n.*\nCost: 1 credit\n/s);

    await page.getByRole('button', { name: 'Smooth ×3' }).click();
    await expect
      .poll(() => page.getByRole('button', { name: 'Smooth ×3' }).getAttribute('aria-pressed'))
      .toBe('true');
    expect(await page.locator('video').getAttribute('src')).toContain('variant=smooth');
    expect((await ann.video(id)).variants).toContain('smooth');
    await page.getByRole('button', { name: 'Loop', exact: true }).click();
    await expect.poll(() => page.locator('video').getAttribute('src')).toContain('variant=loop');
    expect((await ann.video(id)).variants).toContain('loop');
    await page.getByRole('button', { name: 'Original' }).click();
    await expect.poll(() => page.locator('video').getAttribute('src')).not.toMatch(/variant=(smooth|loop)/);
    await studio.expectAccessible(page);
    await studio.expectNoSidewaysScroll(page);

    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('button', { name: 'Keep it' }).click();
    expect((await ann.video(id)).id).toBe(id);
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('button', { name: 'Delete it' }).click();
    await page.getByText('Nothing here yet').waitFor();
    expect((await ann.call(`/v1/videos/${id}`)).status).toBe(404);
  });

  test('goes on from its end with other words', async ({ studio }) => {
    const ann = await studio.person();
    const first = await made(ann, 'zoom in', { seed: '7' });
    const page = await studio.open(`/library/${first.id}`, { person: ann, screen: 'phone' });
    await page.getByRole('button', { name: 'Extend', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Prompt').fill('pan right');
    await studio.expectAccessible(page);
    await studio.screenshot(page, 'extend phone');
    await dialog.getByRole('button', { name: 'Extend it · 1 credit' }).click();
    await expect.poll(() => page.url()).not.toContain(first.id);
    const id = new URL(page.url()).pathname.split('/').at(-1) ?? '';
    expect(await ann.finished(id)).toMatchObject({
      ...{ status: 'completed', prompt: 'pan right', remixed_from_video_id: first.id, remixed_by: 'extend' },
    });
    await page.locator('video').waitFor();
    await page.locator('.clip-relative[aria-current]', { hasText: 'Extend · this clip' }).waitFor();
  });

  test('is re-rolled, and varied subtly and strongly, by a press each', async ({ studio }) => {
    const ann = await studio.person();
    const first = await made(ann, 'zoom in', { seed: '7' });
    const page = await studio.open(`/library/${first.id}`, { person: ann });
    for (const [name, remixed_by] of [
      ['Re-roll', 'reroll'],
      ['Vary subtle', 'subtle'],
      ['Vary strong', 'strong'],
    ] as const) {
      await page.getByRole('button', { name, exact: true }).click();
      await expect.poll(() => page.url()).not.toContain(first.id);
      const id = new URL(page.url()).pathname.split('/').at(-1) ?? '';
      expect(await ann.finished(id)).toMatchObject({
        ...{ status: 'completed', prompt: 'zoom in', remixed_from_video_id: first.id, remixed_by },
      });
      await page.locator('video').waitFor();
      await page.locator('.clip-relative[aria-current]', { hasText: `${name} · this clip` }).waitFor();
      await page.getByRole('link', { name: /^First/ }).click();
      await expect.poll(() => page.url()).toContain(first.id);
    }
    const { data } = (await (await ann.call('/v1/videos')).json()) as { data: { seed: number }[] };
    expect(data).toHaveLength(4);
    expect(new Set(data.map(({ seed }) => seed)).size).toBeGreaterThan(1);
  });

  test('is cancelled while it waits, and says so', async ({ studio }) => {
    const ann = await studio.person();
    await studio.hold();
    const { id } = await ann.create({ prompt: 'zoom in' });
    const page = await studio.open(`/library/${id}`, { person: ann });
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('heading', { name: 'This clip could not be made' }).waitFor();
    await studio.expectAccessible(page);
    expect(await page.getByRole('button', { name: 'Vary subtle' }).count()).toBe(0);
  });

  test('of another person is not there', async ({ studio }) => {
    studio.allow(/status of 404/);
    const ann = await studio.person();
    const { id } = await made(ann, 'secret');
    const page = await studio.open(`/library/${id}`, { person: await studio.person() });
    await page.getByRole('heading', { name: 'There is no such clip among yours', level: 2 }).waitFor();
    expect(await page.content()).not.toContain('secret');
    await studio.expectAccessible(page);
  });

  test('fits every screen, in Chinese and in the dark', async ({ studio }) => {
    const ann = await studio.person();
    const { id } = await made(ann, 'zoom in');
    const page = await studio.open(`/library/${id}`, { person: ann, locale: 'zh-CN', colorScheme: 'dark' });
    await page.getByText('详情').waitFor();
    for (const size of Object.values(screens)) {
      await page.setViewportSize(size);
      await studio.expectNoSidewaysScroll(page);
    }
    await studio.expectAccessible(page);
  });
});
