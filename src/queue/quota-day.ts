/** The calendar day that an allowance belongs to, in the operator's time zone. */

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
