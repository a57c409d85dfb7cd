/** What asks over HTTP may rely on, whatever dies: no id is lost, none is doubled, and no state goes back. */
import { expect, it } from 'vitest';
import { runWebChaos } from '../chaos/web-chaos.ts';

it('every request is one video and one charge, whatever dies in between', async () => {
  // With this seed every part is killed.
  const report = await runWebChaos({ kills: 5, requests: 30, seed: 28 });
  expect(report.violations).toEqual([]);
  expect(report.kills).toEqual({ bot: 3, worker: 1, Redis: 1 });
  expect(report.completed + report.cancelled + report.deleted).toBe(30);
  expect(report.completed).toBeGreaterThan(20);
  expect(report.unanswered).toBeGreaterThan(0);
}, 300_000);
