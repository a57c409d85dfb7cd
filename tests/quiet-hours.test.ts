import { expect, it } from 'vitest';
import { isQuietPattern, QuietHours } from '../src/quiet-hours.ts';

const hourMs = 3_600_000;
const restAt = (pattern: string, time: string, zone = 'UTC'): number =>
  new QuietHours(pattern, zone).restMs(Date.parse(time)) / hourMs;

it.each([
  ['* 22-23,0-6 * * *', '2026-03-02T21:59:59Z', 0],
  ['* 22-23,0-6 * * *', '2026-03-02T22:00:00Z', 9],
  ['* 22-23,0-6 * * *', '2026-03-03T06:30:00Z', 0.5],
  ['* 22-23,0-6 * * *', '2026-03-03T07:00:00Z', 0],
  ['* * * * SAT,SUN', '2026-03-07T12:00:00Z', 36], // a Saturday
  ['* 9-16 * * MON-FRI', '2026-03-07T12:00:00Z', 0],
  ['30-59 12 * * *', '2026-03-07T12:29:30Z', 0],
  ['30-59 12 * * *', '2026-03-07T12:30:30Z', 29.5 / 60],
])('%s at %s lasts for %s hours', (pattern, time, hours) => {
  expect(restAt(pattern, time)).toBeCloseTo(hours, 9);
});

it('keeps to the time zone, also when its clocks are changed', () => {
  const night = '* 22-23,0-6 * * *';
  expect(restAt(night, '2026-01-10T21:00:00Z', 'Europe/Berlin')).toBe(9); // 22:00 there
  expect(restAt(night, '2026-03-28T21:00:00Z', 'Europe/Berlin')).toBe(8); // the night with an hour less
  expect(restAt(night, '2026-10-24T20:00:00Z', 'Europe/Berlin')).toBe(10);
});

it('finds each end again', () => {
  const quiet = new QuietHours('0-29 * * * *', 'UTC');
  const start = Date.parse('2026-03-02T10:00:00Z');
  const rests = [0, 10, 30, 59, 60, 75].map((minute) => quiet.restMs(start + minute * 60_000) / 60_000);
  expect(rests).toEqual([30, 20, 0, 0, 30, 15]);
});

it('begins jobs again at once when a clock that was days ahead is set back', () => {
  const quiet = new QuietHours('* 22-23,0-6 * * *', 'UTC');
  expect(quiet.restMs(Date.parse('2026-03-05T23:00:00Z')) / hourMs).toBe(8);
  expect(quiet.restMs(Date.parse('2026-03-02T12:00:00Z'))).toBe(0);
});

it.each(['* 22-23,0-6 * * *', '0-30 12 * * MON'])('takes %s', (pattern) => {
  expect(isQuietPattern(pattern)).toBe(true);
});

it.each(['at night', '22-7', '* 25 * * *', '* * * * * *', '* * * * *', '* * 1-15 * *', '* * * 12 *', ''])(
  'refuses "%s", which is no pattern or leaves no time',
  (pattern) => {
    expect(isQuietPattern(pattern)).toBe(false);
  },
);
