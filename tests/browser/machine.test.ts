/** What admins do on the page, with their hands: the queue, the mode, credits, bans, the trail and the log. */
import type { Page } from 'playwright-core';
import type { Studio } from './browser-studio.ts';
import { expect, test } from './studio.ts';

const looks = [
  { screen: 'phone', colorScheme: 'dark' },
  { screen: 'tablet', colorScheme: 'light' },
  { screen: 'wide', colorScheme: 'dark' },
] as const;
const sizes = { phone: [390, 844], tablet: [1024, 768], wide: [1920, 1080] } as const;

/** Holds at three widths, in light and dark, and leaves pictures for those who judge by eye. */
async function hold(studio: Studio, page: Page, name: string): Promise<void> {
  for (const { screen, colorScheme } of looks) {
    const [width, height] = sizes[screen];
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height });
    await studio.expectAccessible(page);
    await studio.expectNoSidewaysScroll(page);
    await studio.screenshot(page, `${name}-${screen}-${colorScheme}`);
  }
  await page.setViewportSize({ width: 1024, height: 768 });
}

test('the queue is seen with its owners, paused, one is stopped, and it goes on', async ({ studio }) => {
  const admin = await studio.person(['use', 'admin']);
  const ada = await studio.person();
  const page = await studio.open('/machine', { person: admin });
  await page.getByRole('heading', { name: 'Workers' }).waitFor();
  // Nothing of them is over before this test has seen it.
  await studio.hold();
  for (let i = 0; i < 3; i++) await ada.create({ preset: 'high', prompt: 'zoom out' });
  await page.getByRole('button', { name: 'Pause' }).click();
  const dialog = page.getByRole('dialog', { name: 'Pause Kinora?' });
  await dialog.getByLabel('Reason').fill('a new fan');
  await dialog.getByRole('button', { name: 'Pause' }).click();
  await page.getByText('a new fan').waitFor();
  const rows = page.locator('.queue-table tbody tr');
  await expect.poll(async () => await rows.count()).toBe(3);
  expect(await page.getByText('zoom out').count()).toBe(0);
  await hold(studio, page, 'machine-paused');

  await rows
    .last()
    .getByRole('button', { name: /Stop the video of/ })
    .click();
  await hold(studio, page, 'machine-confirm');
  await page.getByRole('dialog').getByRole('button', { name: 'Stop it' }).click();
  await expect.poll(async () => await rows.count()).toBe(2);
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('a new fan').waitFor({ state: 'detached' });
  await page.locator('.badge-working').waitFor();
  await studio.screenshot(page, 'machine-working');
  for (const { id } of await ada.unfinished()) await ada.call(`/v1/videos/${id}/cancel`, { method: 'POST' });
  await page.getByRole('heading', { name: 'Nothing waits' }).waitFor();
});

test('credits are set and given, a ban is set and lifted, and all of it is in the trail', async ({
  studio,
}) => {
  const admin = await studio.person(['use', 'admin']);
  const user = `discord:${Math.floor(Math.random() * 1e12)}`;
  const ben = await studio.person(['use'], user);
  const page = await studio.open('/machine?part=credits', { person: admin });
  await page.getByLabel('Key').fill(user);
  await page.getByRole('button', { name: 'Look up' }).click();
  await page.getByLabel('Credits a day').fill('7');
  await page
    .locator('.number-form', { hasText: 'Credits a day' })
    .getByRole('button', { name: 'Save' })
    .click();
  await page.getByText('0 of 7 credits used today').waitFor();
  await page.getByLabel('Extra credits').fill('3');
  await page.getByRole('button', { name: 'Give', exact: true }).click();
  await page.getByText('and 3 extra left').waitFor();
  await hold(studio, page, 'machine-credits');
  expect(await (await ben.call('/v1/me')).json()).toMatchObject({ credits: { per_day: 7, granted: 3 } });

  await page.getByRole('link', { name: 'Bans' }).click();
  await page.getByLabel('Key').fill(user);
  await page.getByLabel('For how long').selectOption('1 hour');
  await page.getByLabel('Reason').fill('spam');
  await page.getByRole('button', { name: 'Ban', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Ban' }).click();
  await page.getByRole('button', { name: 'Lift' }).waitFor();
  await hold(studio, page, 'machine-bans');
  expect((await ben.post()).status).toBe(403);
  await page.getByRole('button', { name: 'Lift' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Lift' }).click();
  await page.getByText('Nobody is banned').waitFor();

  await page.getByRole('link', { name: 'Changes' }).click();
  for (const words of ['Lifted the ban of', 'Banned', 'Gave extra credits to', 'Set the credits of']) {
    await page.locator('.trail-table tr', { hasText: words }).filter({ hasText: user }).first().waitFor();
  }
  await hold(studio, page, 'machine-trail');
});

test('the rules of a community are changed', async ({ studio }) => {
  const admin = await studio.person(['use', 'admin']);
  const page = await studio.open('/machine?part=communities', { person: admin });
  const community = `discord:${Math.floor(Math.random() * 1e12)}`;
  await page.getByLabel('Key').fill(community);
  await page.getByRole('button', { name: 'Look up' }).click();
  await page.getByLabel('Post all videos covered').check();
  await page.getByLabel('Largest preset').selectOption('fast');
  await page.getByLabel('Block words').fill('foo');
  await page.getByRole('button', { name: 'Save the rules' }).click();
  await page.getByRole('button', { name: 'foo' }).waitFor();
  await page.getByRole('button', { name: community }).waitFor();
  expect(await page.getByLabel('Post all videos covered').isChecked()).toBe(true);
  await hold(studio, page, 'machine-communities');
});

test('the live log follows, is filtered and paused, by the keyboard alone', async ({ studio }) => {
  const admin = await studio.person(['use', 'admin']);
  const page = await studio.open('/machine', { person: admin });
  await page.getByRole('link', { name: 'Live log' }).focus();
  await page.keyboard.press('Enter');
  const log = page.getByRole('log');
  await log.getByText('taking requests').first().waitFor();
  await log.getByText('engine ready').first().waitFor();
  await hold(studio, page, 'machine-log');
  await page.getByLabel('Containing').focus();
  await page.keyboard.type('engine ready');
  await expect.poll(async () => await log.getByText('taking requests').count()).toBe(0);
  await page.getByLabel('Part', { exact: true }).selectOption('Bot');
  await log.getByText('No line yet.').waitFor();
  await page.getByRole('button', { name: 'Freeze' }).focus();
  await page.keyboard.press('Enter');
  await page.getByText('Frozen; 0 lines wait.').waitFor();
  await log.focus();
  expect(await page.evaluate<string>('document.activeElement.getAttribute("role")')).toBe('log');
});

test('nobody else is shown it', async ({ studio }) => {
  const page = await studio.open('/machine', { person: await studio.person() });
  await page.getByRole('heading', { name: 'There is no such page' }).first().waitFor({ state: 'attached' });
  expect(await page.getByRole('link', { name: 'Machine' }).count()).toBe(0);
});
