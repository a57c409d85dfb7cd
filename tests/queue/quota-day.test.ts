import { describe, expect, it } from 'vitest';
import { calendarDay, msUntilNextDay } from '../../src/queue/quota-day.ts';

const hourMs = 3_600_000;

describe('the day of an allowance', () => {
  it.each([
    ['UTC', '2026-11-21T23:59:59Z', '2026-11-21'],
    ['Europe/Berlin', '2026-11-21T23:30:00Z', '2026-11-22'],
    ['America/New_York', '2026-11-21T04:30:00Z', '2026-11-20'],
  ])('in %s at %s is %s', (zone, at, day) => {
    expect(calendarDay(Date.parse(at), zone)).toBe(day);
  });

  it.each([
    ['UTC', '2026-11-21T20:00:00Z', 4],
    ['Asia/Shanghai', '2026-11-21T20:00:00Z', 20],
    // Clocks are set forth, and back.
    ['Europe/Berlin', '2026-03-28T23:00:00Z', 23],
    ['Europe/Berlin', '2026-10-24T22:00:00Z', 25],
  ])('in %s at %s goes on for %i hours', (zone, at, hours) => {
    const now = Date.parse(at);
    expect(msUntilNextDay((ms) => calendarDay(ms, zone), now)).toBe(hours * hourMs);
    expect(msUntilNextDay((ms) => calendarDay(ms, zone), now + 1)).toBe(hours * hourMs - 1);
  });

  it('may never end', () => {
    expect(msUntilNextDay(() => '2026-11-21', Date.now())).toBeUndefined();
  });
});
