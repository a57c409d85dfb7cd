/** Vitest's global setup of the tests in a browser: the page as it is shipped, and one running Kinora for all of them. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import { RunningKinora } from '../helpers/running-kinora.ts';
import { findChromium, missingChromium } from './chromium.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    kinora: {
      readonly url: string;
      readonly socketPath: string;
    };
  }
}

export default async function startKinora(project: TestProject): Promise<() => Promise<void>> {
  if (findChromium() === undefined) {
    process.stderr.write(`${missingChromium}\n`);
    process.exit(1);
  }
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  execFileSync('npm', ['run', '--silent', '--if-present', 'build:page'], { cwd, stdio: 'inherit' });
  const kinora = await RunningKinora.start();
  const { url, socketPath } = kinora;
  project.provide('kinora', { url, socketPath });
  return () => kinora.stop();
}
