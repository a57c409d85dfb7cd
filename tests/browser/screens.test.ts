/** What holds for everything that the page shows: for screen readers, on narrow and wide screens, in light and dark. */
import type { Page } from 'playwright-core';
import { inject } from 'vitest';
import { Studio } from './browser-studio.ts';
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
  '$name is accessible and fits: on a phone in light, on a wide screen in dark',
  async ({ open, faults }, { studio, cast }) => {
    studio.allow(/status of 4(?:0[134]|10)/);
    if (faults) studio.allow(faults);
    await hold(studio, await open(studio, cast, { screen: 'phone', colorScheme: 'light' }));
    await hold(studio, await open(studio, cast, { screen: 'wide', colorScheme: 'dark' }));
  },
);
