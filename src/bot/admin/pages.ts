/** Long lists, a page at a time. */
import { KinoraError } from '../../errors.ts';

export interface Page<T> {
  readonly items: readonly T[];
  /** Of all pages together. */
  readonly count: number;
  /** From 1. */
  readonly page: number;
  readonly pages: number;
}

/** As many lines as fit into one message everywhere. */
const perPage = 15;

/**
 * An empty list has one empty page, whatever page is asked for.
 * @throws KinoraError INVALID_OPTION with the range
 */
export function pageOf<T>(all: readonly T[], page: number): Page<T> {
  if (all.length === 0) return { items: [], count: 0, page: 1, pages: 1 };
  const pages = Math.ceil(all.length / perPage);
  if (!Number.isInteger(page) || page < 1 || page > pages) {
    throw new KinoraError('INVALID_OPTION', { kind: 'page', max: pages });
  }
  return { items: all.slice((page - 1) * perPage, page * perPage), count: all.length, page, pages };
}
