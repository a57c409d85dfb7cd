/** Watches everything that a page does, and remembers what no page of ours may do. */
import type { BrowserContext } from 'playwright-core';

export class Guard {
  readonly #faults: string[] = [];
  readonly #allowed: RegExp[] = [];

  /** @param origin the only server that pages may talk to */
  constructor(context: BrowserContext, origin: string) {
    // Chromium also reports refusals of the Content Security Policy and answers of 400 and above as errors here.
    context.on('console', (message) => {
      if (message.type() !== 'error') return;
      this.#faults.push(`console of ${message.location().url}: ${message.text()}`);
    });
    context.on('weberror', (error) => {
      this.#faults.push(`uncaught: ${error.error().stack ?? error.error().message}`);
    });
    context.on('request', (request) => {
      const url = new URL(request.url());
      const isLocal = url.protocol === 'data:' || url.protocol === 'blob:';
      if (!isLocal && url.origin !== origin) this.#faults.push(`request to another host: ${request.url()}`);
    });
    context.on('requestfailed', (request) => {
      const reason = request.failure()?.errorText ?? '';
      // Whoever leaves a page, or has seen enough of a video, ends its requests.
      if (reason !== 'net::ERR_ABORTED') this.#faults.push(`request failed: ${request.url()} ${reason}`);
    });
  }

  /** What a test brings about itself, such as "status of 404". */
  allow(fault: RegExp): void {
    this.#allowed.push(fault);
  }

  get faults(): readonly string[] {
    return this.#faults.filter((fault) => !this.#allowed.some((allowed) => allowed.test(fault)));
  }
}
