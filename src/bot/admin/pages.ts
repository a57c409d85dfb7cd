/** Long lists, a page at a time. */

export interface Page<T> {
  readonly items: readonly T[];
  /** Of all pages together. */
  readonly count: number;
  /** From 1. */
  readonly page: number;
  readonly pages: number;
}

/** The list has fewer pages. */
export interface NoSuchPage {
  readonly kind: 'noSuchPage';
  readonly pages: number;
}

/** As many lines as fit into one message everywhere. */
const perPage = 15;

/** An empty list has one empty page, whatever page is asked for. */
export function pageOf<T>(all: readonly T[], page: number): Page<T> | NoSuchPage {
  if (all.length === 0) return { items: [], count: 0, page: 1, pages: 1 };
  const pages = Math.ceil(all.length / perPage);
  if (!Number.isInteger(page) || page < 1 || page > pages) return { kind: 'noSuchPage', pages };
  return { items: all.slice((page - 1) * perPage, page * perPage), count: all.length, page, pages };
}
