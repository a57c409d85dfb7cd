/** What sentences tell people to type exists as it is written. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { errorCatalogue } from '../../src/errors.ts';

const project = path.resolve(import.meta.dirname, '../..');
const { scripts } = JSON.parse(readFileSync(path.join(project, 'package.json'), 'utf8')) as {
  scripts: Readonly<Record<string, string>>;
};
/** Code without comments. */
const sources = readdirSync(path.join(project, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.(ts|mjs)$/.test(file))
  .map((file) => readFileSync(path.join(project, 'src', file), 'utf8').replace(/^\s*(\/?\*|\/\/).*$/gm, ''));

it('commands of sentences are scripts of package.json', () => {
  const named = sources.flatMap((text) =>
    [...text.matchAll(/npm run ([a-z:]+)|npm (start|test)\b/g)].map(([, script, own]) => script ?? own ?? ''),
  );
  expect(named.length).toBeGreaterThan(10);
  expect([...new Set(named)].filter((script) => !Object.hasOwn(scripts, script))).toEqual([]);
});

it('no remedy names a command that only a global installation has', () => {
  const remedies = Object.values(errorCatalogue).map(({ remedy }) => remedy);
  const advised = /(?:Run|run|by|as|with|see) "kinora [a-z]|["“]kinora keys/;
  const found = [...remedies, ...sources].flatMap((text) => advised.exec(text)?.[0] ?? []);
  expect(found).toEqual([]);
});
