/** Times and sizes, as the language of the page writes them. */
import { useEffect, useState } from 'preact/hooks';
import { useSay } from '../sentences/say.ts';
import { language } from '../state/preferences.ts';
import { useStore } from '../state/store.ts';

const locales = { en: 'en-GB', zh: 'zh-CN' } as const;
const minuteMs = 60_000;

/** "14:05", with the day where it is another one; in full when the pointer rests on it. */
export function Moment({ at }: { at: string | number }) {
  const locale = locales[useStore(language)];
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  const short = date.toLocaleString(locale, {
    ...(isToday ? {} : { day: 'numeric', month: 'short' }),
    hour: '2-digit',
    minute: '2-digit',
  });
  const whole = date.toLocaleString(locale, { dateStyle: 'full', timeStyle: 'medium' });
  return (
    <time class="numbers" dateTime={date.toISOString()} title={whole}>
      {short}
    </time>
  );
}

/** How long something has lasted: "3 min". Told anew each half minute, seconds are of no use to anybody. */
export function Since({ at }: { at: string | number }) {
  const say = useSay();
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), minuteMs / 2);
    return () => clearInterval(timer);
  }, []);
  const ms = Math.max(0, Date.now() - new Date(at).getTime());
  return <span class="numbers">{ms < minuteMs ? say.shell.underAMinute : say.duration(rounded(ms))}</span>;
}

const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const rounded = (ms: number): number => ms - (ms % (ms < dayMs ? minuteMs : hourMs));

const units = ['kB', 'MB', 'GB', 'TB'] as const;

/** 1_234_567 → "1.2 MB". */
export function bytesText(bytes: number): string {
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value < 9.95 && unit > 0 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
}
