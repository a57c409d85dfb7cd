/** What holds for everything that the page shows: for screen readers, on narrow and wide screens, in light and dark. */
import type { Page } from 'playwright-core';
import { inject } from 'vitest';
import { Studio, screens } from './browser-studio.ts';
import { prepare, states } from './states.ts';
import { test as base } from './studio.ts';

const test = base.extend<{ cast: Awaited<ReturnType<typeof prepare>> }>({
  cast: [
    async ({ browser }, use) => {
      const studio = new Studio(browser, inject('kinora'));
      const cast = await prepare(studio);
      await studio.close();
      await use(cast);
    },
    { scope: 'file' },
  ],
});

async function hold(studio: Studio, page: Page): Promise<void> {
  await studio.expectAccessible(page);
  await studio.expectNoSidewaysScroll(page);
}

test.for(states)(
  '$name is accessible and fits, on a phone and a wide screen, light and dark',
  async ({ open }, { studio, cast }) => {
    studio.allow(/status of 40[134]/);
    const page = await open(studio, cast, { screen: 'phone', colorScheme: 'light' });
    await hold(studio, page);
    await page.emulateMedia({ colorScheme: 'dark' });
    await hold(studio, page);
    await page.setViewportSize(screens.wide);
    await hold(studio, page);
    await page.emulateMedia({ colorScheme: 'light' });
    await hold(studio, page);
  },
);
