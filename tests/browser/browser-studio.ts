/** The studio page of a running Kinora in a real browser: signs people in, opens guarded pages, and looks at them. */
import { deepStrictEqual, ok } from 'node:assert';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type axe from 'axe-core';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { z } from 'zod';
import { type ApiKeyScope, ApiKeys } from '../../src/queue/api-keys.ts';
import { Keys } from '../../src/queue/keys.ts';
import { generateQueues } from '../../src/queue/models.ts';
import { SignInLinks } from '../../src/queue/sign-in-links.ts';
import { type Video, videoSchema } from '../../src/web/videos/schemas.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { WebPerson } from '../helpers/web-person.ts';
import { Guard } from './guard.ts';

/** A phone, a tablet, and a wide screen. */
export const screens = {
  phone: { width: 390, height: 844 },
  tablet: { width: 1024, height: 768 },
  wide: { width: 1920, height: 1080 },
} as const;

export interface PageOptions {
  /** Signed in as this person; nobody when absent. */
  readonly person?: BrowserPerson;
  readonly screen?: keyof typeof screens | 'readme';
  /** Pixels of the screen for one of CSS. */
  readonly pixelRatio?: number;
  readonly colorScheme?: 'light' | 'dark';
  /** Such as zh-CN. */
  readonly locale?: string;
  /** Fingers instead of a mouse. */
  readonly hasTouch?: boolean;
  readonly reducedMotion?: 'reduce' | 'no-preference';
}

const shots = fileURLToPath(new URL('../../out/screenshots', import.meta.url));
const axeSource = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Half-way between two themes no colour is right. */
const transitionsOver = `Promise.allSettled(document.getAnimations()
  .filter((animation) => animation.effect.getComputedTiming().iterations !== Infinity)
  .map((animation) => animation.finished)).then(() => {})`;
/** Whether nothing stands in the place of something else any more, and all pictures are there. */
export const isAtRest = `document.querySelector('.waiting, .spinner, [class*="ghost"], [aria-busy="true"]') === null &&
  [...document.images].every(({ complete }) => complete) &&
  [...document.querySelectorAll('video')].every(({ readyState, error }) => readyState > 1 || error)`;

/** Pictures that are there may not be painted yet. */
const picturesDecoded = `Promise.allSettled([...document.images]
  .filter(({ complete }) => complete)
  .map((image) => image.decode())).then(() => {})`;

const queueSchema = z.object({ data: z.array(z.object({ id: z.string() })), answering: z.int() });

/** A busy machine computes the clips, too. */
const patienceMs = 150_000;

/** Somebody with a key, by which a test prepares what it needs; their browsers are signed in by links. */
export class BrowserPerson extends WebPerson {
  readonly name = 'Ada';
  readonly scopes: readonly ApiKeyScope[];

  constructor(
    studio: { readonly url: string },
    token: string,
    userKey: string,
    scopes: readonly ApiKeyScope[],
  ) {
    super(studio, token, userKey);
    this.scopes = scopes;
  }

  /** Their videos that wait or are made, newest first. */
  async unfinished(): Promise<Video[]> {
    const answer: unknown = await (await this.call('/v1/videos?limit=100')).json();
    const { data } = z.object({ data: z.array(videoSchema) }).parse(answer);
    return data.filter(({ status }) => status === 'queued' || status === 'in_progress');
  }
}

export class Studio {
  /** Such as http://127.0.0.1:41234. */
  readonly url: string;
  readonly redis: Redis;
  readonly #browser: Browser;
  readonly #contexts: { readonly context: BrowserContext; readonly guard: Guard }[] = [];
  readonly #allowed: RegExp[] = [];

  constructor(browser: Browser, { url, socketPath }: { readonly url: string; readonly socketPath: string }) {
    this.#browser = browser;
    this.url = url;
    this.redis = new Redis({ path: socketPath });
  }

  /** Somebody new, or a user of a chat such as "discord:8035". Also calls the API, to prepare what a test needs. */
  async person(scopes: readonly ApiKeyScope[] = ['use'], userKey?: string): Promise<BrowserPerson> {
    const { key, token } = await new ApiKeys(this.redis).create({ name: 'browser', userKey, scopes });
    return new BrowserPerson(this, token, key.userKey, scopes);
  }

  /** A browser of its own, with its own cookies, at a path of the page. */
  async open(
    path: string,
    { person, screen = 'tablet', pixelRatio = 1, ...options }: PageOptions = {},
  ): Promise<Page> {
    const wanted: BrowserContextOptions = {
      baseURL: this.url,
      viewport: screen === 'readme' ? { width: 1280, height: 800 } : screens[screen],
      deviceScaleFactor: pixelRatio,
      // Tests name what they press in English.
      locale: 'en-GB',
      acceptDownloads: true,
      ...options,
    };
    const context = await this.#browser.newContext(wanted);
    context.setDefaultTimeout(patienceMs);
    const guard = new Guard(context, this.url);
    for (const fault of this.#allowed) guard.allow(fault);
    this.#contexts.push({ context, guard });
    if (person) await this.#signIn(context, person);
    const page = await context.newPage();
    // Playwright catches choosers of files for as long as somebody listens, and does not wait until it does.
    page.on('filechooser', () => {});
    await page.goto(path);
    return page;
  }

  /** By a link, as the page does when it is opened. */
  async #signIn(context: BrowserContext, { userKey, scopes, name }: BrowserPerson): Promise<void> {
    const token = await new SignInLinks(this.redis).create({ userKey, scopes, name });
    const headers = { origin: this.url };
    const answer = await context.request.post('/v1/sign-in', { data: { token }, headers });
    if (!answer.ok()) throw new Error(`nobody is signed in: ${answer.status()} ${await answer.text()}`);
  }

  /** From now on, in all pages: what a test brings about itself, such as /status of 404/. */
  allow(fault: RegExp): void {
    this.#allowed.push(fault);
    for (const { guard } of this.#contexts) guard.allow(fault);
  }

  get faults(): readonly string[] {
    return this.#contexts.flatMap(({ guard }) => guard.faults);
  }

  /** The rules of axe that the page breaks, and where. */
  async violations(page: Page): Promise<string[]> {
    // By the protocol of the debugger, which the Content Security Policy lets pass.
    if (!(await page.evaluate<boolean>('"axe" in globalThis'))) await page.evaluate(axeSource);
    await page.evaluate(transitionsOver);
    const { violations } = await page.evaluate<Pick<axe.AxeResults, 'violations'>>(
      `axe.run({ resultTypes: ['violations'] }).then(({ violations }) => ({ violations }))`,
    );
    return violations.flatMap(({ id, help, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${help}\n${html}\n${failureSummary}`),
    );
  }

  async expectAccessible(page: Page): Promise<void> {
    deepStrictEqual(await this.violations(page), [], `axe at ${page.url()}`);
  }

  /** Fails when the page is wider than its window. */
  async expectNoSidewaysScroll(page: Page): Promise<void> {
    const { scrollWidth, clientWidth } = await page.evaluate<Record<'scrollWidth' | 'clientWidth', number>>(
      '({ scrollWidth: document.documentElement.scrollWidth, clientWidth: document.documentElement.clientWidth })',
    );
    ok(
      scrollWidth <= clientWidth,
      `${page.url()} is ${scrollWidth} px wide in a window of ${clientWidth} px`,
    );
  }

  /** How much has moved by itself since the page was opened, as the browser counts it; waits until all is at rest. */
  async layoutShift(page: Page): Promise<number> {
    for (let i = 0; i < 50 && !(await page.evaluate<boolean>(isAtRest)); i++) await page.waitForTimeout(100);
    return await page.evaluate<number>(`new Promise((resolve) => {
      let sum = 0;
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
      }).observe({ type: 'layout-shift', buffered: true });
      setTimeout(() => resolve(sum), 300);
    })`);
  }

  /** Leaves out/screenshots/NAME.png. */
  async screenshot(page: Page, name: string): Promise<void> {
    await mkdir(shots, { recursive: true });
    await page.evaluate(picturesDecoded);
    await page.screenshot({ path: join(shots, `${name}.png`) });
  }

  /** What every page shows now, for whoever looks why a test failed. */
  async screenshotAll(name: string): Promise<void> {
    const pages = this.#contexts.flatMap(({ context }) => context.pages());
    for (const [i, page] of pages.entries()) await this.screenshot(page, `${name}-${i + 1}`);
  }

  /**
   * Has the worker begin nothing more, without a word to the page: what is asked for waits for as long as a test looks
   * at it, however busy the machine is.
   */
  async hold(): Promise<void> {
    await this.#withQueues((queue) => queue.pause());
  }

  async letGo(): Promise<void> {
    await this.#withQueues((queue) => queue.resume());
  }

  async #withQueues(use: (queue: Queue) => Promise<void>): Promise<void> {
    const keys = new Keys();
    for (const name of await generateQueues(this.redis, keys)) {
      const queue = new Queue(name, { connection: this.redis, prefix: keys.bull });
      try {
        await use(queue);
      } finally {
        await queue.close();
      }
    }
  }

  async close(): Promise<void> {
    for (const { context } of this.#contexts) await context.close();
    this.redis.disconnect();
  }

  /** Leaves Kinora to the next test as it was: at work, with nothing to do. */
  async clear(): Promise<void> {
    const admin = await this.person(['admin']);
    const resumed = await admin.call('/v1/admin/mode', {
      method: 'PUT',
      body: JSON.stringify({ mode: 'running' }),
      headers: { 'content-type': 'application/json' },
    });
    ok(resumed.ok, `Kinora goes on: ${resumed.status}`);
    await eventually('nothing is left to do', async () => {
      const answer: unknown = await (await admin.call('/v1/admin/queue?limit=200')).json();
      const { data, answering } = queueSchema.parse(answer);
      for (const { id } of data) {
        await admin.call(`/v1/admin/videos/${encodeURIComponent(id)}/cancel`, { method: 'POST' });
      }
      return data.length === 0 && answering === 0;
    });
  }
}
