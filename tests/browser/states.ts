/** Everything that the page can show, each by the steps that lead there: for screenshots, and for axe. */
import type { Page } from 'playwright-core';
import { Keys } from '../../src/queue/keys.ts';
import { SignInLinks } from '../../src/queue/sign-in-links.ts';
import { type BrowserPerson, isAtRest, type PageOptions, type Studio } from './browser-studio.ts';
import { example, examplePath } from './examples.ts';

type Look = Pick<PageOptions, 'screen' | 'colorScheme' | 'locale'>;

export interface State {
  readonly name: string;
  /** @returns the page, when it shows the state and has come to rest */
  readonly open: (studio: Studio, cast: Cast, look: Look) => Promise<Page>;
  /** What it brings about itself in the console. */
  readonly faults?: RegExp;
}

/** Who is there before the pages are opened. */
export interface Cast {
  /** Has clips, one of them a remix. */
  readonly ada: BrowserPerson;
  /** Has nothing. */
  readonly newcomer: BrowserPerson;
  readonly admin: BrowserPerson;
  /** Has videos under way, which endWork() ends. */
  readonly busy: BrowserPerson;
  /** Of Ada's newest clip. */
  readonly clipId: string;
  /** Has a clip under a cover, one whose files are gone, and one that failed. */
  readonly eve: BrowserPerson;
  readonly coveredId: string;
  readonly expiredId: string;
  readonly failedId: string;
}

export async function prepare(studio: Studio): Promise<Cast> {
  const [ada, newcomer, busy, admin] = await Promise.all([
    studio.person(),
    studio.person(),
    studio.person(),
    studio.person(['use', 'admin']),
  ]);
  const wishes = [
    ['astronaut', { prompt: 'slow zoom out', preset: 'fast', seed: '7' }],
    ['coffee', { prompt: 'steam rising, camera panning left', preset: 'fast', seed: '12' }],
    ['cat', { prompt: 'camera slowly zooming in', preset: 'standard', seed: '3' }],
  ] as const;
  let first = '';
  for (const [name, fields] of wishes) {
    const answer = await ada.post(fields, { picture: await example(name) });
    const { id } = (await answer.json()) as { id: string };
    first ||= id;
    await ada.finished(id);
  }
  const answer = await ada.postJson(`/v1/videos/${first}/remix`, { prompt: 'camera rotating clockwise' });
  const { id } = (await answer.json()) as { id: string };
  await ada.finished(id);
  return { ada, newcomer, admin, busy, clipId: id, ...(await prepareOddClips(studio)) };
}

/** By what the ledger says of them. */
async function prepareOddClips(
  studio: Studio,
): Promise<Pick<Cast, 'eve' | 'coveredId' | 'expiredId' | 'failedId'>> {
  const { redis } = studio;
  const keys = new Keys();
  const eve = await studio.person();
  const covered = await eve.finished((await eve.create({ preset: 'fast' })).id);
  const key = keys.job(covered.id);
  const request = JSON.parse((await redis.hget(key, 'request')) ?? '');
  await redis.hset(key, 'request', JSON.stringify({ ...request, isSpoiler: true }));
  const ids = { expiredId: `${covered.id}-expired`, failedId: `${covered.id}-failed` };
  const entry = await redis.hgetall(key);
  const failure = JSON.stringify({ code: 'INTERNAL', message: '' });
  for (const [id, fields] of [
    [ids.expiredId, { state: 'generated' }],
    [ids.failedId, { state: 'failed', failure }],
  ] as const) {
    await redis.hset(keys.job(id), { ...entry, ...fields, request: JSON.stringify({ ...request, id }) });
    await redis.zadd(keys.history(eve.userKey), entry['createdAt'] ?? '0', id);
  }
  return { eve, coveredId: covered.id, ...ids };
}

async function startWork(busy: BrowserPerson): Promise<void> {
  if ((await busy.unfinished()).length > 1) return;
  const { id } = await busy.create({ preset: 'fast', prompt: 'changed my mind' });
  await busy.call(`/v1/videos/${id}/cancel`, { method: 'POST' });
  for (const prompt of ['waves rolling in, camera panning left', 'camera slowly tilting up']) {
    await busy.create({ preset: 'high', prompt, num_inference_steps: '50' });
  }
}

/** Leaves the worker to others. */
export async function endWork({ busy }: Cast): Promise<void> {
  for (const { id } of await busy.unfinished()) {
    await busy.call(`/v1/videos/${id}/cancel`, { method: 'POST' });
  }
}

async function withPicture(studio: Studio, person: BrowserPerson, look: Look): Promise<Page> {
  const page = await at(studio, '/', { person, ...look });
  await page.locator('input[type=file]').first().setInputFiles(examplePath('coffee'));
  await page.getByRole('button', { name: /Crop|裁剪/ }).waitFor();
  return page;
}

/** Shows a path, and waits until it has come to rest. */
async function at(studio: Studio, path: string, options: PageOptions): Promise<Page> {
  const page = await studio.open(path, options);
  await page.locator('h1').waitFor({ state: 'attached' });
  // Some never come to rest: a log that goes on, a bar that moves.
  for (let i = 0; i < 50 && !(await page.evaluate<boolean>(isAtRest)); i++) await page.waitForTimeout(100);
  return page;
}

async function linkFor(studio: Studio, { userKey }: BrowserPerson): Promise<string> {
  const token = await new SignInLinks(studio.redis).create({ userKey, name: 'Ada', scopes: ['use'] });
  return `/sign-in#${token}`;
}

export const states: readonly State[] = [
  { name: 'signed-out', open: (studio, _cast, look) => at(studio, '/', look) },
  {
    name: 'sign-in',
    open: async (studio, { newcomer }, look) => await at(studio, await linkFor(studio, newcomer), look),
  },
  { name: 'sign-in-used', open: (studio, _cast, look) => at(studio, `/sign-in#${'a'.repeat(43)}`, look) },
  {
    name: 'sign-in-invited',
    open: async (studio, _cast, look) => {
      const { token } = await new SignInLinks(studio.redis).invite({ scopes: ['use'] });
      return await at(studio, `/sign-in#${token}`, look);
    },
  },
  { name: 'not-found', open: (studio, { ada }, look) => at(studio, '/libary', { person: ada, ...look }) },
  {
    name: 'create-empty',
    open: (studio, { newcomer }, look) => at(studio, '/', { person: newcomer, ...look }),
  },
  {
    name: 'create-refused',
    open: async (studio, { newcomer }, look) => {
      const page = await at(studio, '/', { person: newcomer, ...look });
      await page.locator('button[type=submit]').click();
      await page.getByRole('alert').waitFor();
      return page;
    },
  },
  {
    name: 'create-filled',
    open: async (studio, { ada }, look) => {
      const page = await withPicture(studio, ada, look);
      await page.getByRole('textbox').first().fill('amazing masterpiece');
      return page;
    },
  },
  {
    name: 'create-settings',
    open: async (studio, { ada }, look) => {
      const page = await withPicture(studio, ada, look);
      await page.locator('summary').click();
      await page.locator('summary').scrollIntoViewIfNeeded();
      return page;
    },
  },
  {
    name: 'create-crop',
    open: async (studio, { ada }, look) => {
      const page = await withPicture(studio, ada, look);
      await page.getByRole('button', { name: /Crop|裁剪/ }).click();
      await page.getByRole('dialog').waitFor();
      return page;
    },
  },
  {
    name: 'create-live',
    open: async (studio, { busy }, look) => {
      await startWork(busy);
      const page = await at(studio, '/', { person: busy, ...look });
      await page.getByRole('progressbar').first().scrollIntoViewIfNeeded();
      return page;
    },
  },
  {
    name: 'create-remix',
    open: async (studio, { ada, clipId }, look) => {
      const page = await at(studio, `/?from=${clipId}`, { person: ada, ...look });
      await page.locator('.message-info').waitFor();
      return page;
    },
  },
  {
    name: 'unreachable',
    faults: /net::ERR_FAILED|Failed to load resource/,
    open: async (studio, { ada }, look) => {
      const page = await at(studio, '/library', { person: ada, ...look });
      await page.route('**/v1/**', (route) => route.abort());
      await page.evaluate('document.dispatchEvent(new Event("visibilitychange"))');
      await page.locator('.outage').waitFor();
      return page;
    },
  },
  {
    name: 'library-empty',
    open: (studio, { newcomer }, look) => at(studio, '/library', { person: newcomer, ...look }),
  },
  { name: 'library', open: (studio, { ada }, look) => at(studio, '/library', { person: ada, ...look }) },
  {
    name: 'clip',
    open: (studio, { ada, clipId }, look) => at(studio, `/library/${clipId}`, { person: ada, ...look }),
  },
  {
    name: 'library-no-match',
    open: (studio, { ada }, look) => at(studio, '/library?q=dragon', { person: ada, ...look }),
  },
  {
    name: 'clip-remix',
    open: async (studio, { ada, clipId }, look) => {
      const page = await at(studio, `/library/${clipId}`, { person: ada, ...look });
      await page.getByRole('button', { name: /^(Remix|改提示词)$/ }).click();
      await page.getByRole('dialog').waitFor();
      return page;
    },
  },
  {
    name: 'clip-running',
    open: async (studio, { busy }, look) => {
      await startWork(busy);
      const running = (await busy.unfinished()).at(-1);
      return await at(studio, `/library/${running?.id}`, { person: busy, ...look });
    },
  },
  {
    name: 'clip-delete',
    open: async (studio, { ada, clipId }, look) => {
      const page = await at(studio, `/library/${clipId}`, { person: ada, ...look });
      await page.getByRole('button', { name: /^(Delete|删除)$/ }).click();
      await page.getByRole('dialog').waitFor();
      return page;
    },
  },
  {
    name: 'library-odd',
    open: (studio, { eve }, look) => at(studio, '/library', { person: eve, ...look }),
  },
  {
    name: 'clip-covered',
    open: (studio, { eve, coveredId }, look) => at(studio, `/library/${coveredId}`, { person: eve, ...look }),
  },
  {
    name: 'clip-expired',
    open: (studio, { eve, expiredId }, look) => at(studio, `/library/${expiredId}`, { person: eve, ...look }),
  },
  {
    name: 'clip-failed',
    open: (studio, { eve, failedId }, look) => at(studio, `/library/${failedId}`, { person: eve, ...look }),
  },
  {
    name: 'clip-of-nobody',
    open: (studio, { newcomer, clipId }, look) =>
      at(studio, `/library/${clipId}`, { person: newcomer, ...look }),
  },
  { name: 'machine', open: (studio, { admin }, look) => at(studio, '/machine', { person: admin, ...look }) },
  ...(['credits', 'bans', 'communities', 'trail', 'log'] as const).map((part) => ({
    name: `machine-${part}`,
    open: (studio: Studio, { admin }: Cast, look: Look) =>
      at(studio, `/machine?part=${part}`, { person: admin, ...look }),
  })),
  {
    name: 'machine-refused',
    open: (studio, { ada }, look) => at(studio, '/machine', { person: ada, ...look }),
  },
  { name: 'account', open: (studio, { ada }, look) => at(studio, '/account', { person: ada, ...look }) },
];
