/** What people do with their account on the page. */
import type { Page } from 'playwright-core';
import { SignInLinks } from '../../src/queue/sign-in-links.ts';
import type { Studio } from './browser-studio.ts';
import { examplePath } from './examples.ts';
import { expect, test } from './studio.ts';

async function hold(studio: Studio, page: Page, name: string): Promise<void> {
  for (const [screen, width, height, colorScheme] of [
    ['phone', 390, 844, 'light'],
    ['tablet', 1024, 768, 'dark'],
    ['wide', 1920, 1080, 'light'],
  ] as const) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height });
    await studio.expectAccessible(page);
    await studio.expectNoSidewaysScroll(page);
    await studio.screenshot(page, `${name}-${screen}-${colorScheme}`);
  }
  await page.setViewportSize({ width: 1024, height: 768 });
}

test('a key is made, shown once, and revoked', async ({ studio }) => {
  const ada = await studio.person();
  const page = await studio.open('/account', { person: ada });
  await page.getByRole('button', { name: 'New key' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('laptop');
  await page.getByRole('button', { name: 'Make the key' }).click();
  const key = (await page.locator('.secret').textContent()) ?? '';
  expect(key).toMatch(/^kinora_/);
  await hold(studio, page, 'account-key');
  const headers = { authorization: `Bearer ${key}` };
  const me = await fetch(`${studio.url}/v1/me`, { headers });
  expect(await me.json()).toMatchObject({ user: ada.userKey, scopes: ['use'] });
  await page.getByRole('button', { name: 'I have it' }).click();
  expect(await page.getByText(key).count()).toBe(0);
  const row = page.locator('li', { hasText: 'laptop' });
  await row.getByRole('button', { name: 'Revoke' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await row.waitFor({ state: 'detached' });
  expect((await fetch(`${studio.url}/v1/me`, { headers })).status).toBe(401);
});

test('a webhook is refused, and the language of the page changes', async ({ studio }) => {
  const page = await studio.open('/account', { person: await studio.person() });
  studio.allow(/status of 400/);
  await page.getByLabel('Address').fill('http://127.0.0.1:9/');
  await page.getByRole('button', { name: 'Add' }).click();
  await page
    .getByRole('status')
    .getByText(/address/i)
    .waitFor();
  await hold(studio, page, 'account');
  await page.locator('.choices').getByRole('button', { name: '中文' }).click();
  await page.getByRole('heading', { name: '账户' }).waitFor();
  await hold(studio, page, 'account-zh');
});

test('somebody signs out elsewhere, and here', async ({ studio }) => {
  const ada = await studio.person();
  const elsewhere = await studio.open('/account', { person: ada });
  const page = await studio.open('/account', { person: ada });
  await page.getByRole('button', { name: 'Sign out there' }).first().click();
  await page.getByText('Signed out there.').waitFor();
  studio.allow(/status of 401/);
  await elsewhere.reload();
  await elsewhere.getByRole('heading', { name: 'Sign in to go on' }).first().waitFor();
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await page.getByRole('heading', { name: 'Sign in to go on' }).first().waitFor();
});

/** Under which names this browser keeps drafts. */
const draftsIn = (page: Page): Promise<string[]> =>
  page.evaluate<string[]>(`new Promise((resolve, reject) => {
    const opening = indexedDB.open('kinora', 1);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const asking = opening.result.transaction('drafts').objectStore('drafts').getAllKeys();
      asking.onsuccess = () => {
        opening.result.close();
        resolve(asking.result);
      };
    };
  })`);

test('what was begun is there for its person alone, and gone when they sign out', async ({ studio }) => {
  const ada = await studio.person();
  const page = await studio.open('/', { person: ada });
  await page.setInputFiles('input[type=file]:not([capture])', examplePath('cat'));
  const prompt = page.getByLabel('What should move, and how?');
  await prompt.fill('a secret');
  await page.getByRole('link', { name: 'Account' }).click();
  await expect.poll(() => draftsIn(page)).toEqual([ada.userKey, `${ada.userKey} picture`]);
  await page.getByRole('link', { name: 'Create' }).click();
  await page.getByRole('img', { name: 'The picture that will be animated' }).waitFor();
  expect(await prompt.inputValue()).toBe('a secret');

  // Somebody else takes over the browser.
  const bea = await studio.person();
  const token = await new SignInLinks(studio.redis).create({ ...bea, name: 'Bea', scopes: ['use'] });
  await page.goto(`/sign-in#${token}`);
  await page.getByRole('button', { name: 'Sign in as Bea' }).click();
  await prompt.waitFor();
  expect(await prompt.inputValue()).toBe('');
  await expect.poll(() => draftsIn(page)).toEqual([]);

  await prompt.fill('another');
  await expect.poll(() => draftsIn(page)).toContain(bea.userKey);
  studio.allow(/status of 401/);
  await page.getByRole('link', { name: 'Account' }).click();
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await page.getByRole('heading', { name: 'Sign in to go on' }).first().waitFor();
  await expect.poll(() => draftsIn(page)).toEqual([]);
});

test('everything is deleted, when the word was typed', async ({ studio }) => {
  const ada = await studio.person();
  const { id } = await ada.create({ preset: 'fast' });
  await ada.finished(id);
  const page = await studio.open('/account', { person: ada });
  await page.getByRole('button', { name: 'Delete everything…' }).click();
  const dialog = page.getByRole('dialog');
  const button = dialog.getByRole('button', { name: 'Delete everything' });
  expect(await button.isDisabled()).toBe(true);
  await hold(studio, page, 'account-delete');
  await dialog.getByLabel('Type "delete" to go on').fill('delete');
  studio.allow(/status of 401/);
  await button.click();
  await page.getByRole('heading', { name: 'Sign in to go on' }).first().waitFor();
  await page.getByText('Everything about you is deleted, 1 video too.').waitFor();
  expect(await studio.redis.exists(`{kinora}:job:${id}`)).toBe(0);
});
