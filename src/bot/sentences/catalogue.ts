/**
 * Every sentence that people read in a chat, by language. English is the measure: another language that lacks a
 * sentence does not compile. Plain text without any markup; adapters escape it for their platform.
 */
import { en } from './en.ts';
import { zh } from './zh.ts';

export type Messages = typeof en;

export const locales = { en, zh } as const;

/** The catalogue for a platform's locale: "zh-CN" and "zh-hans" are Chinese, whatever is not known is English. */
export function messagesFor(locale: string | undefined): Messages {
  return locale?.toLowerCase().startsWith('zh') ? locales.zh : locales.en;
}
