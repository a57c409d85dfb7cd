/** Server-sent events as the page reads them. */
import { expect, it } from 'vitest';
import { readEvent } from '../../src/web/page/api/read-event.ts';

it('reads an event, and nothing from comments and pauses', () => {
  expect(readEvent('id: 1-step-4\nevent: step\ndata: {"step":4}')).toEqual({
    id: '1-step-4',
    name: 'step',
    data: { step: 4 },
  });
  expect(readEvent('data: [1,\ndata: 2]')).toEqual({ id: '', name: 'message', data: [1, 2] });
  expect(readEvent(': still here')).toBeUndefined();
  expect(readEvent('retry: 2000')).toBeUndefined();
});
