import { expect, it } from 'vitest';
import { runChaos } from './chaos.ts';

it('keeps every promise through half a dozen random faults', async () => {
  const report = await runChaos(6, 7);
  expect(report.violations).toEqual([]);
  expect(report.accepted).toBeGreaterThan(10);
  expect(Object.keys(report.faults).length).toBeGreaterThan(3);
});
