/** The calendar day that an allowance belongs to, in the operator's time zone, and when it is over. */

const formats = new Map<string, Intl.DateTimeFormat>();

/** "2026-11-21" for a time in ms. The zone is an IANA name; a wrong one throws RangeError. */
export function calendarDay(now: number, timeZone: string): string {
  let format = formats.get(timeZone);
  if (!format) {
    // The Swedish way to write a date is the ISO one.
    format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short' });
    formats.set(timeZone, format);
  }
  return format.format(now);
}

/** With a change of the clocks by up to two hours. */
const longestDayMs = 26 * 3_600_000;

/**
 * Milliseconds until the present day ends.
 * @param day what day a time in ms belongs to
 * @returns undefined when it does not end within 26 hours
 */
export function msUntilNextDay(day: (now: number) => string, now: number): number | undefined {
  const today = day(now);
  let [before, after] = [0, longestDayMs];
  if (day(now + after) === today) return undefined;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (day(now + middle) === today) before = middle;
    else after = middle;
  }
  return after;
}
