/** What the documentation says of names is compared with the code that has them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { z } from 'zod';

const project = path.resolve(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(path.join(project, file), 'utf8');
const matches = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map(([, match]) => match ?? '');

const lua = readdirSync(path.join(project, 'src/queue/lua')).map((name) => read(`src/queue/lua/${name}`));
const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md']
  .concat(['docs', 'docs/decisions', 'models', 'bench/gpu', 'tests/golden'].flatMap(pagesOf))
  .map((file) => [file] as const);

function pagesOf(folder: string): string[] {
  const names = readdirSync(path.join(project, folder)).filter((name) => name.endsWith('.md'));
  return names.map((name) => `${folder}/${name}`);
}

it('names every key in Redis', () => {
  const keys = matches(read('src/queue/keys.ts'), /\$\{this\.prefix\}:([a-z]+)/g);
  expect(keys.length).toBeGreaterThan(40);
  const page = read('docs/redis-keys.md');
  expect([...new Set(keys)].filter((key) => !new RegExp(`^\\| \`${key}[\`:]`, 'm').test(page))).toEqual([]);
});

it('names every field of a job that a script writes', () => {
  const written = lua
    .flatMap((text) => matches(text, /HSET(?:NX)?', jobKey,([^)]*)/g))
    .flatMap((args) => matches(args, /(?:^|,)\s*'(\w+)',/g));
  expect(written.length).toBeGreaterThan(20);
  const page = read('docs/redis-keys.md');
  expect([...new Set(written)].filter((field) => !page.includes(`\`${field}\``))).toEqual([]);
});

it('draws every change of state', () => {
  const table = /local allowed = \{\n(.*?)\n\}/s.exec(read('src/queue/lua/transition.lua'))?.[1] ?? '';
  const changes = table.split('\n').flatMap((line) => {
    const [event = ''] = matches(line, /^ {2}(\w+) =/g);
    return matches(line, /(\w+) = true/g).map((state) => ({ event, state }));
  });
  expect(changes.length).toBeGreaterThan(15);
  const page = read('docs/job-states.md');
  const isDrawn = ({ event, state }: (typeof changes)[number]): boolean =>
    new RegExp(`^  ${state} --> \\w+: .*\\b${event}\\b`, 'm').test(page);
  expect(changes.filter((change) => !isDrawn(change))).toEqual([]);
});

it.each(pages)('%s links to what is there', (file) => {
  const links = matches(read(file), /\]\(([^)#\s]+)(?:#[^)]*)?\)/g).filter((link) => !/^\w+:/.test(link));
  const folder = path.join(project, path.dirname(file));
  expect(links.filter((link) => !existsSync(path.join(folder, link)))).toEqual([]);
});

it('names the version that package.json has', () => {
  const { version } = z.object({ version: z.string() }).parse(JSON.parse(read('package.json')));
  // A released version's part of the change log keeps its number.
  const present = pages.filter(([file]) => file !== 'CHANGELOG.md');
  const packages = present.flatMap(([file]) => matches(read(file), /\bkinora-(\d+\.\d+\.\d+)\.tgz/g));
  expect(packages.length).toBeGreaterThan(2);
  expect([...new Set(packages)]).toEqual([version]);
  const [released] = matches(read('CHANGELOG.md'), /^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$/gm);
  expect(released).toBe(version);
});
