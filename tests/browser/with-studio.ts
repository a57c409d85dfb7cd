/** For scripts: a running Kinora with the page as it is built now, and a browser before it. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { RunningKinora } from '../helpers/running-kinora.ts';
import { Studio } from './browser-studio.ts';
import { launchChromium } from './chromium.ts';

/** Builds the page, as people get it. */
export function buildPage(): void {
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  // Vitest's own NODE_ENV would give another build than the one that is shipped.
  const env = { ...process.env, NODE_ENV: 'production' };
  execFileSync('npm', ['run', '--silent', 'build:page'], { cwd, env, stdio: 'inherit' });
}

/** @param use is given a function that opens a studio of its own; the caller closes each */
export async function withStudio(use: (openStudio: () => Studio) => Promise<void>): Promise<void> {
  buildPage();
  const kinora = await RunningKinora.start();
  const browser = await launchChromium();
  try {
    await use(() => new Studio(browser, kinora));
  } finally {
    await browser.close();
    await kinora.stop();
  }
}
