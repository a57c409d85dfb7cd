/**
 * "Delete everything", asked twice: the button under /privacy first turns into one that does it.
 */
import type { InlineKeyboardMarkup } from 'telegraf/types';
import type { Messages } from '../sentences/catalogue.ts';

const steps = ['ask', 'do', 'no'] as const;
export type ForgetStep = (typeof steps)[number];

/** Only the person who asked what is kept may press: their key is in the button. */
export function forgetButtons(userKey: string, say: Messages, isAskedAlready = false): InlineKeyboardMarkup {
  const button = (text: string, step: ForgetStep) => ({ text, callback_data: `forget:${step}:${userKey}` });
  const { deleteAll } = say.privacy;
  if (!isAskedAlready) return { inline_keyboard: [[button(deleteAll, 'ask')]] };
  return { inline_keyboard: [[button(`⚠️ ${deleteAll}`, 'do'), button('✖️', 'no')]] };
}

export function parseForgetButton(data: string): { step: ForgetStep; userKey: string } | undefined {
  const [, name, userKey] = /^forget:(\w+):(.+)$/.exec(data) ?? [];
  const step = steps.find((known) => known === name);
  return step && userKey !== undefined ? { step, userKey } : undefined;
}
