import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { withHardwareTables } from '../../bench/hardware/tables.ts';

it('docs/operations.md has the tables of today: npm run bench:hardware', () => {
  const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/operations.md'), 'utf8');
  expect(page).toMatch(/\| H100 .*\*\*\d/);
  expect(withHardwareTables(page)).toBe(page);
});
