/**
 * Every sentence that people read in a chat, by language. English is the measure: another language that lacks a
 * sentence does not compile. Plain text without any markup; adapters escape it for their platform.
 */
import { en } from './en.ts';
import { zh } from './zh.ts';

export type Messages = typeof en;

/** By the first part of a locale. */
export const locales = { en, zh } as const;

/** The catalogue for a platform's locale: "zh-CN" and "zh-hans" are Chinese, and every unknown language is English. */
export function messagesFor(locale = ''): Messages {
  const language = locale.toLowerCase().split('-')[0];
  return Object.entries(locales).find(([name]) => name === language)?.[1] ?? locales.en;
}
