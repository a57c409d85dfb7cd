import { expect, it } from 'vitest';
import { publicCommands } from '../../../src/bot/discord/command-definitions.ts';
import type { Offered } from '../../../src/bot/sentences/en.ts';

const optionsOf = (offered?: Partial<Offered>): string[] => {
  const animate = publicCommands(offered).find(({ name }) => name === 'animate');
  return animate && 'options' in animate ? (animate.options ?? []).map(({ name }) => name) : [];
};

it('offers no options that the model ignores', () => {
  const all = optionsOf();
  expect(all).toEqual(expect.arrayContaining(['image', 'prompt', 'negative', 'guidance', 'frames']));
  const some = optionsOf({ negative: false, guidance: false });
  expect(some).toEqual(all.filter((name) => name !== 'negative' && name !== 'guidance'));
});
