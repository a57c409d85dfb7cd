import { expect, it } from 'vitest';
import { calledAs } from '../src/called-as.ts';

it.each([
  ['checkout', 'doctor', '', 'npm run doctor'],
  ['checkout', 'setup-cuda', '--cuda 12', 'npm run setup:cuda -- --cuda 12'],
  ['checkout', 'keys', 'create NAME', 'npm run kinora -- keys create NAME'],
  ['package', 'start', '', 'npx --no-install kinora start'],
  ['package', 'keys', 'list', 'npx --no-install kinora keys list'],
  ['image', 'sign-in', '', 'kinora sign-in'],
  ['image', 'setup-cuda', '--cuda 12', 'kinora setup-cuda --cuda 12'],
] as const)('in a %s, "%s %s" is typed as "%s"', (place, command, args, typed) => {
  expect(calledAs(command, args, place)).toBe(typed);
});

it('is by npm where these tests run', () => {
  expect(calledAs('doctor')).toBe('npm run doctor');
});
