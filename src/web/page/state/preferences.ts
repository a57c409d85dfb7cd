/** Language and theme of this browser. */
import { createStore, type Store } from './store.ts';

export const languages = ['en', 'zh'] as const;
export type Language = (typeof languages)[number];
export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

/** Of what is kept, for a browser that keeps nothing: private windows may refuse. */
function kept(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Holds until the page is closed.
  }
}

function oneOf<T extends string>(allowed: readonly T[], value: string | null): T | undefined {
  return allowed.find((name) => name === value);
}

/** The first of the browser's languages that the page speaks. */
function ofBrowser(): Language {
  for (const name of navigator.languages) {
    const language = oneOf(languages, name.toLowerCase().split('-')[0] ?? null);
    if (language) return language;
  }
  return 'en';
}

export const language: Store<Language> = createStore(oneOf(languages, kept('language')) ?? ofBrowser());
export const theme: Store<Theme> = createStore(oneOf(themes, kept('theme')) ?? 'system');

function show(): void {
  const { documentElement: root } = document;
  root.lang = language.get() === 'zh' ? 'zh-Hans' : 'en';
  const chosen = theme.get();
  if (chosen === 'system') delete root.dataset['theme'];
  else root.dataset['theme'] = chosen;
}

/** Shows what is chosen, now and from here on. */
export function followPreferences(): void {
  show();
  language.subscribe(() => {
    keep('language', language.get());
    show();
  });
  theme.subscribe(() => {
    keep('theme', theme.get());
    show();
  });
}
