/** Times as people say them, in the language of the page. */
import { type Language, language } from '../state/preferences.ts';

const locales: Readonly<Record<Language, string>> = { en: 'en-GB', zh: 'zh-CN' };

/** "29 Nov 2026, 21:38" */
export function timeText(unixSeconds: number): string {
  const format = new Intl.DateTimeFormat(locales[language.get()], {
    dateStyle: 'medium',
    timeStyle: 'short',
  });
  return format.format(unixSeconds * 1000);
}

/** "29 December 2026" */
export function dateText(unixSeconds: number): string {
  return new Intl.DateTimeFormat(locales[language.get()], { dateStyle: 'long' }).format(unixSeconds * 1000);
}

const units = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
] as const;

/** "2 hours ago" */
export function ageText(unixSeconds: number): string {
  const seconds = Math.max(0, Date.now() / 1000 - unixSeconds);
  const format = new Intl.RelativeTimeFormat(locales[language.get()], { numeric: 'auto', style: 'short' });
  const [unit, length] = units.find(([, length]) => seconds >= length) ?? [
    'second',
    Number.POSITIVE_INFINITY,
  ];
  return format.format(-Math.floor(seconds / length), unit);
}
