/**
 * `npm run bench:hardware`: writes the tables of "Hardware" in docs/operations.md from the tables of bench:gpu and the
 * memory plan. Measures nothing: run it after a table of bench:gpu has changed.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { withHardwareTables } from './hardware/tables.ts';

const page = fileURLToPath(new URL('../docs/operations.md', import.meta.url));
writeFileSync(page, withHardwareTables(readFileSync(page, 'utf8')));
