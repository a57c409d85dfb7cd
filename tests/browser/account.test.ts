/** What people do with their account on the page. */
import type { Page } from 'playwright-core';
import type { Studio } from './browser-studio.ts';
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
  expect(await studio.redis.exists(`kinora:job:${id}`)).toBe(0);
});
