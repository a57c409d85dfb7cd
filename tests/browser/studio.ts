/**
 * For tests of the page in a real browser: `test` gives each of them a studio, in which it signs people in and opens
 * pages. Every page is guarded: a test fails when one logs an error, breaks the Content Security Policy, asks another
 * host for anything, or has a request that fails.
 */
import type { Browser } from 'playwright-core';
import { test as base, expect, inject } from 'vitest';
import { Studio } from './browser-studio.ts';
import { launchChromium } from './chromium.ts';

export { expect };

export const test = base.extend<{ browser: Browser; studio: Studio }>({
  browser: [
    // biome-ignore lint/correctness/noEmptyPattern: vitest reads which fixtures a fixture needs
    async ({}, use) => {
      const browser = await launchChromium();
      await use(browser);
      await browser.close();
    },
    { scope: 'file' },
  ],
  studio: async ({ browser, task }, use) => {
    const studio = new Studio(browser, inject('kinora'));
    await use(studio);
    const hasFailed = task.result?.state === 'fail';
    if (hasFailed) await studio.screenshotAll(`failed ${task.name.replaceAll(/[^\w]+/g, ' ').trim()}`);
    const { faults } = studio;
    await studio.clear();
    await studio.close();
    expect(faults).toEqual([]);
  },
});
