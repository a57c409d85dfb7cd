/** Everything that the page can show, each by the steps that lead there: for screenshots, and for axe. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { SignInLinks } from '../../src/queue/sign-in-links.ts';
import type { BrowserPerson, PageOptions, Studio } from './browser-studio.ts';

type Look = Pick<PageOptions, 'screen' | 'colorScheme' | 'locale'>;

export interface State {
  readonly name: string;
  /** @returns the page, when it shows the state and has come to rest */
  readonly open: (studio: Studio, cast: Cast, look: Look) => Promise<Page>;
}

/** Who is there before the pages are opened. */
export interface Cast {
  /** Has clips, one of them a remix. */
  readonly ada: BrowserPerson;
  /** Has nothing. */
  readonly newcomer: BrowserPerson;
  readonly admin: BrowserPerson;
  /** Of Ada's newest clip. */
  readonly clipId: string;
}

const pictureOf = (name: string): Promise<Buffer> =>
  readFile(fileURLToPath(new URL(`../../examples/${name}.jpg`, import.meta.url)));

export async function prepare(studio: Studio): Promise<Cast> {
  const [ada, newcomer, admin] = await Promise.all([
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
    const answer = await ada.post(fields, { picture: await pictureOf(name) });
    const { id } = (await answer.json()) as { id: string };
    first ||= id;
    await ada.finished(id);
  }
  const answer = await ada.postJson(`/v1/videos/${first}/remix`, { prompt: 'camera rotating clockwise' });
  const { id } = (await answer.json()) as { id: string };
  await ada.finished(id);
  return { ada, newcomer, admin, clipId: id };
}

/** Shows a path, and waits until nothing is fetched any more. */
async function at(studio: Studio, path: string, options: PageOptions): Promise<Page> {
  const page = await studio.open(path, options);
  await page.locator('h1').waitFor({ state: 'attached' });
  await page.locator('.waiting').waitFor({ state: 'detached' });
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
    name: 'library-empty',
    open: (studio, { newcomer }, look) => at(studio, '/library', { person: newcomer, ...look }),
  },
  { name: 'library', open: (studio, { ada }, look) => at(studio, '/library', { person: ada, ...look }) },
  {
    name: 'clip',
    open: (studio, { ada, clipId }, look) => at(studio, `/library/${clipId}`, { person: ada, ...look }),
  },
  {
    name: 'clip-of-nobody',
    open: (studio, { newcomer, clipId }, look) =>
      at(studio, `/library/${clipId}`, { person: newcomer, ...look }),
  },
  { name: 'machine', open: (studio, { admin }, look) => at(studio, '/machine', { person: admin, ...look }) },
  {
    name: 'machine-refused',
    open: (studio, { ada }, look) => at(studio, '/machine', { person: ada, ...look }),
  },
  { name: 'account', open: (studio, { ada }, look) => at(studio, '/account', { person: ada, ...look }) },
];
