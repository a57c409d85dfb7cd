/** Which addresses a webhook may have. */
import { expect, it } from 'vitest';
import { isPublicAddress, post } from '../../src/web/webhooks/post.ts';

it.each([
  '127.0.0.1',
  '127.8.9.10',
  '0.0.0.0',
  '10.0.0.1',
  '100.64.0.1',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '198.18.0.1',
  '224.0.0.1',
  '255.255.255.255',
  '::1',
  '::',
  '[::1]',
  '[::ffff:127.0.0.1]',
  '::ffff:10.0.0.1',
  '64:ff9b::7f00:1',
  'fe80::1',
  'fc00::1',
  'fd12:3456::1',
  'ff02::1',
  '2002:7f00:1::',
  '2001:db8::1',
])('%s is not public', (address) => {
  expect(isPublicAddress(address)).toBe(false);
});

it.each([
  '1.1.1.1',
  '8.8.8.8',
  '172.32.0.1',
  '100.128.0.1',
  '192.169.0.1',
  '2606:4700::1111',
  '[2a00:1450::1]',
  'example.com',
])('%s may be public', (address) => {
  expect(isPublicAddress(address)).toBe(true);
});

it.each([
  'http://127.0.0.1:1/',
  'http://[::1]:1/',
  'http://2130706433:1/',
  'http://0x7f.1:1/',
  'http://localhost:1/',
])('%s is not called', async (url) => {
  const posting = post(url, '{}', {}, { mayBePrivate: false, deadlineMs: 5_000 });
  await expect(posting).rejects.toThrow(/not public/);
});
