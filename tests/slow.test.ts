import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { slow } from './slow.ts';

const project = path.resolve(import.meta.dirname, '..');

it.each(slow)('names tests that are there: %s', (entry) => {
  const [folder, file] = [path.dirname(entry), path.basename(entry)];
  const files = readdirSync(path.join(project, folder));
  expect(files.some((name) => (file === '*.test.ts' ? name.endsWith('.test.ts') : name === file))).toBe(true);
});
