/** The sentences of the page in the language that is chosen. */
import { ApiError } from '../api/client.ts';
import { type Language, language } from '../state/preferences.ts';
import { useStore } from '../state/store.ts';
import { en } from './en.ts';
import { zh } from './zh.ts';

export type Sentences = typeof en;

const catalogues: Readonly<Record<Language, Sentences>> = { en, zh };

export function useSay(): Sentences {
  return catalogues[useStore(language)];
}

/** Where no component asks, such as the title of a notification. */
export function sayNow(): Sentences {
  return catalogues[language.get()];
}

/** What went wrong, and what to do: the server says it in the language of the page. */
export function sayError(error: unknown, say: Sentences): string {
  if (!(error instanceof ApiError)) return say.errors.unknown;
  if (error.code === 'unreachable') return say.errors.unreachable;
  if (error.status === 401) return say.errors.signedOut;
  return error.message || say.errors.unknown;
}
