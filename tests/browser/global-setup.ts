/** Vitest's global setup of the tests in a browser: the page as it is shipped, and one running Kinora for all of them. */
import type { TestProject } from 'vitest/node';
import { RunningKinora } from '../helpers/running-kinora.ts';
import { findChromium, missingChromium } from './chromium.ts';
import { buildPage } from './with-studio.ts';

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
  buildPage();
  const kinora = await RunningKinora.start();
  const { url, socketPath } = kinora;
  project.provide('kinora', { url, socketPath });
  return () => kinora.stop();
}
