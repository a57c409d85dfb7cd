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
  .filter((file) => /\.(ts|mjs)$/.test(file) && !file.includes('page-built'))
  .map((file) => readFileSync(path.join(project, 'src', file), 'utf8').replace(/^\s*(\/?\*|\/\/).*$/gm, ''));

const found = (pattern: RegExp): string[] => [
  ...new Set(sources.flatMap((text) => [...text.matchAll(pattern)].map(([, name = '']) => name))),
];

it('scripts that sentences name are those of package.json', () => {
  const named = [...found(/npm run ([a-z:]+)/g), ...found(/npm (start|test)\b/g)];
  expect(named).toContain('setup:cuda');
  expect(named.filter((script) => !Object.hasOwn(scripts, script))).toEqual([]);
});

it('commands that sentences name are those of the command line', () => {
  const commands = found(/\.command\('([a-z-]+)'/g);
  const named = found(/\bcalledAs\(\s*'([a-z-]+)'/g);
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((command) => !commands.includes(command))).toEqual([]);
});

it('nothing is named as it is typed in a checkout, but for those who develop Kinora', () => {
  const named = sources.filter((text) => /npm run (kinora|doctor|animate|setup:cuda)\b|npm start/.test(text));
  expect(named).toHaveLength(1); // called-as.ts
});

it('no remedy names a command that only a global installation has', () => {
  const remedies = Object.values(errorCatalogue).map(({ remedy }) => remedy);
  const advised = /(?:Run|run|by|as|with|see) "kinora [a-z]|["“]kinora keys/;
  const wrong = [...remedies, ...sources].flatMap((text) => advised.exec(text)?.[0] ?? []);
  expect(wrong).toEqual([]);
});
