/** What the page says of a video on its way. */
import { expect, it } from 'vitest';
import { phaseOf } from '../../src/web/page/create/phase.ts';
import { en } from '../../src/web/page/sentences/en.ts';
import { zh } from '../../src/web/page/sentences/zh.ts';

const waiting: Parameters<typeof phaseOf>[0] = {
  status: 'queued',
  phase: null,
  step: null,
  steps: null,
  queue_position: 2,
  waits_for_model: false,
};

it.each([
  [waiting, '2 jobs before it'],
  [{ ...waiting, queue_position: null }, 'Accepted'],
  [{ ...waiting, waits_for_model: true }, en.status.stranded],
  [{ ...waiting, status: 'in_progress' }, 'Writing the video…'],
  [{ ...waiting, phase: 'loading' }, 'Loading the model…'],
  [{ ...waiting, phase: 'denoising', step: 3, steps: 20 }, 'Step 3 of 20'],
] satisfies [typeof waiting, string][])('%j: %s', (video, words) => {
  expect(phaseOf(video, en)).toBe(words);
});

it('says in Chinese, too, that no worker has its model', () => {
  expect(phaseOf({ ...waiting, waits_for_model: true }, zh)).toBe(zh.status.stranded);
  expect(zh.status.stranded).not.toBe(en.status.stranded);
});
