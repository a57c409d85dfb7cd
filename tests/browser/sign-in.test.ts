/** Signing in by a link: what it asks, what it uses up, and what whoever comes too late is told. */
import type { Page } from 'playwright-core';
import { Sessions } from '../../src/queue/sessions.ts';
import { SignInLinks } from '../../src/queue/sign-in-links.ts';
import type { Studio } from './browser-studio.ts';
import { expect, test } from './studio.ts';

const linkOf = async (studio: Studio, userKey: string, name = 'Ada'): Promise<string> =>
  `/sign-in#${await new SignInLinks(studio.redis).create({ userKey, name, scopes: ['use'] })}`;
const isAt = (page: Page, path: string) => expect.poll(() => new URL(page.url()).pathname).toBe(path);

test('a link of a chat signs in with one press, and what opens links by itself uses up nothing', async ({
  studio,
}) => {
  studio.allow(/status of 4(01|10)/);
  const link = await linkOf(studio, 'discord:8035');
  // A preview in a chat runs the page, and presses nothing.
  const preview = await studio.open(link);
  await preview.getByRole('button', { name: 'Sign in as Ada' }).waitFor();
  await preview.close();

  const page = await studio.open(link, { screen: 'phone' });
  await page.getByText('This is your account of Discord').waitFor();
  const late = await page.context().newPage();
  await late.goto(link);
  await late.getByRole('button', { name: 'Sign in as Ada' }).waitFor();
  // By the keyboard alone.
  await page.getByRole('button', { name: 'Sign in as Ada' }).focus();
  await page.keyboard.press('Enter');
  await isAt(page, '/');
  expect(page.url()).not.toContain('#');
  const [cookie] = await page.context().cookies();
  expect(cookie).toMatchObject({ name: 'kinora_session', httpOnly: true, sameSite: 'Strict', path: '/' });

  // The other tab is too late, and knows where to go on.
  await late.getByRole('button', { name: 'Sign in as Ada' }).click();
  await late.getByRole('heading', { name: 'This link does not work any more' }).waitFor();
  await late.getByText('Write /web to Kinora in Discord or Telegram').waitFor();
  await late.reload();
  await late.getByRole('link', { name: 'Go to Create' }).click();
  await isAt(late, '/');
});

test('whoever is invited says a name, and comes as somebody new', async ({ studio }) => {
  studio.allow(/status of 40[01]/);
  const { token } = await new SignInLinks(studio.redis).invite({ scopes: ['use'] });
  const page = await studio.open(`/sign-in#${token}`);
  await page.getByRole('heading', { name: 'You are invited' }).waitFor();
  const name = page.getByLabel('What shall we call you?');
  await name.fill('   ');
  await name.press('Enter');
  await page.getByRole('alert').getByText('Choose a name of 1 to 64 characters.').waitFor();
  await name.fill('Grace');
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await isAt(page, '/');
  await page.goto('/sign-in');
  await page.getByRole('heading', { name: 'You are signed in as Grace' }).waitFor();
});

test('another link says who will be signed out, and a session that has ended says how to come back', async ({
  studio,
}) => {
  studio.allow(/status of 401/);
  const person = await studio.person();
  const page = await studio.open('/sign-in', { person });
  await page.getByRole('heading', { name: 'You are signed in as Ada' }).waitFor();
  const link = await linkOf(studio, 'telegram:8036', 'Bea');
  // In the same tab, where only what is behind the # changes.
  await page.goto(link);
  await page.getByText('Ada is signed in here now, and will be signed out.').waitFor();
  await page.getByRole('button', { name: 'Sign in as Bea' }).click();
  await isAt(page, '/');
  expect(await new Sessions(studio.redis).of(person.userKey)).toEqual([]);

  await new Sessions(studio.redis).revokeOf('telegram:8036', Date.now());
  await page.getByRole('link', { name: 'Library' }).click();
  await page.getByRole('heading', { name: 'Sign in to go on', level: 2 }).waitFor();
  await page.getByText('Write /web to Kinora in Discord or Telegram').waitFor();
});
