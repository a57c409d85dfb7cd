/** The browser of these tests: Chromium of the system, as apt installs it. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const names = ['chromium', 'chromium-browser', 'google-chrome'];

/** KINORA_CHROMIUM, or the first in the PATH. */
export function findChromium(): string | undefined {
  const named = process.env['KINORA_CHROMIUM'];
  if (named) return named;
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @throws when there is none; says how to get one */
export async function launchChromium(): Promise<Browser> {
  const executablePath = findChromium();
  if (executablePath === undefined) throw new Error(missingChromium);
  // Its sandbox is not for root, as whom containers run.
  return await chromium.launch({ executablePath, chromiumSandbox: process.getuid?.() !== 0 });
}

export const missingChromium =
  'These tests need Chromium: run "sudo apt-get install chromium", or name another in KINORA_CHROMIUM.';
