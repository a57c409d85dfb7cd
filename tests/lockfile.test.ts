/**
 * The lock file must serve every platform and every registry. npm leaves out optional packages that it could not
 * find when the file was made, and every later `npm ci` then refuses it.
 */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

interface Locked {
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly resolved?: string;
  readonly integrity?: string;
}
const text = readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8');
const { packages } = JSON.parse(text) as { packages: Readonly<Record<string, Locked>> };

it('has an entry for every optional package of every platform', () => {
  const optional = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
    Object.keys(optionalDependencies),
  );
  expect(optional.length).toBeGreaterThan(20);
  expect(optional.filter((name) => !packages[`node_modules/${name}`])).toEqual([]);
});

it('holds no download address', () => {
  expect(Object.values(packages).filter(({ resolved }) => resolved !== undefined)).toEqual([]);
});

it('compares every package with its hash, also those of other platforms', () => {
  const bare = Object.entries(packages).filter(([path, { integrity }]) => path !== '' && !integrity);
  expect(bare.map(([path]) => path)).toEqual([]);
});
