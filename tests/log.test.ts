import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { createLogger } from '../src/log.ts';

const lines: { msg: string; heldBack?: number }[] = [];
const log = createLogger('test', 'info', {
  write: (line: string) => {
    lines.push(JSON.parse(line));
  },
});
beforeEach(() => {
  lines.length = 0;
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('writes an error once a second at most, and says how often it came back', () => {
  for (let i = 0; i < 1_000; i++) log.error({ err: 'MOVED' }, 'redis');
  log.error({ err: 'READONLY' }, 'redis');
  expect(lines).toHaveLength(2);
  vi.advanceTimersByTime(1_100);
  for (let i = 0; i < 10; i++) log.error({ err: 'MOVED' }, 'redis');
  expect(lines.map(({ heldBack }) => heldBack)).toEqual([undefined, undefined, 999]);
});

it('holds nothing back that is no fault', () => {
  for (let i = 0; i < 5; i++) log.info('taking requests');
  expect(lines).toHaveLength(5);
});
