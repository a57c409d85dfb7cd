import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { ProgressBar } from '../../src/commands/progress-bar.ts';

/** What was written so far, and a clock that the test moves. */
function stage(isTTY: boolean) {
  const stream = Object.assign(new PassThrough(), { isTTY }) as unknown as NodeJS.WriteStream;
  const clock = { ms: 0 };
  const bar = new ProgressBar(stream, () => clock.ms);
  const written = (): string => String((stream as unknown as PassThrough).read() ?? '');
  return { bar, clock, written };
}

it('on a terminal one line is redrawn, with the phase, its steps and the time left', () => {
  const { bar, clock, written } = stage(true);
  bar.update({ phase: 'encoding', done: 0, total: 1 });
  bar.update({ phase: 'denoising', done: 0, total: 8 });
  expect(written()).toMatch(/Looking at the picture.*\r.*Imagining +─+ 0\/8$/);
  clock.ms = 4_000;
  bar.update({ phase: 'denoising', done: 2, total: 8 });
  expect(written()).toBe(
    `\r\u001b[2KImagining              ${'━'.repeat(6)}${'─'.repeat(18)} 2/8  12 s left`,
  );
  clock.ms = 400_000;
  bar.update({ phase: 'denoising', done: 4, total: 8 });
  expect(written()).toMatch(/4\/8 {2}7 min left$/);
  // The next phase has not been measured yet.
  bar.update({ phase: 'decoding', done: 0, total: 2 });
  expect(written()).toMatch(/Drawing frames +─+ 0\/2$/);
  bar.clear();
  expect(written()).toBe('\r\u001b[2K');
  bar.clear();
  expect(written()).toBe('');
});

it('elsewhere each phase gets a line, once, and nothing is redrawn', () => {
  const { bar, written } = stage(false);
  for (let done = 0; done <= 8; done++) bar.update({ phase: 'denoising', done, total: 8 });
  bar.update({ phase: 'finishing', done: 0, total: 1 });
  bar.clear();
  expect(written()).toBe('Imagining …\nWriting the video …\n');
});
