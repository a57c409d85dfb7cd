/** When a watcher may take what was another bot's. */
import { expect, it } from 'vitest';
import { free, steadyNow, WatchedLease } from '../../src/queue/watched-lease.ts';
import { eventually } from '../helpers/queue-harness.ts';

const times = { lastsMs: 300, marginMs: 100, renewEveryMs: 50, lookEveryMs: 50 };

it('waits where Redis has lost a lease that was free: another bot may have taken it meanwhile', async () => {
  const steadySince = steadyNow() - 10_000;
  /** Of the bots none has written to the Redis that forgot them. */
  const unknownYet = async () => [];
  const watched = new WatchedLease(times);
  watched.note(free);
  const lostAt = steadyNow();
  watched.note('');
  const nothing = { isFree: watched.isFree, takeable: await watched.takeable(steadySince, unknownYet) };
  expect(nothing).toEqual({ isFree: false, takeable: free });
  await eventually('it is over', async () => (await watched.takeable(steadySince, unknownYet)) === '');
  expect(steadyNow() - lostAt).toBeGreaterThanOrEqual(times.lastsMs);
});
