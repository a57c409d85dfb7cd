/** "/web" in the chats: the link signs in the person who asked for it, and nobody else sees it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DiscordPlatform } from '../../src/bot/discord/adapter.ts';
import { en } from '../../src/bot/sentences/en.ts';
import { zh } from '../../src/bot/sentences/zh.ts';
import { TelegramPlatform } from '../../src/bot/telegram/adapter.ts';
import { inert } from '../../src/bot/telegram/rendering.ts';
import { type FakeDiscord, startFakeDiscord } from '../fakes/discord/server.ts';
import { type FakeTelegram, startFakeTelegram } from '../fakes/telegram/server.ts';
import { Browser } from '../helpers/browser.ts';
import { log } from '../helpers/queue-harness.ts';
import { WebFixture } from '../helpers/web-fixture.ts';

const publicUrl = 'https://kinora.example';
let discord: FakeDiscord;
let telegram: FakeTelegram;
let web: WebFixture;

async function start(options: { readonly publicUrl?: string } = {}): Promise<WebFixture> {
  return await WebFixture.start({
    ...options,
    platforms: [
      new DiscordPlatform({
        token: discord.token,
        clientOptions: discord.clientOptions,
        adminUserIds: [boss.id],
        adminRoleIds: [keepers.id],
        log,
      }),
      new TelegramPlatform({
        token: telegram.token,
        apiRoot: telegram.apiRoot,
        adminUserIds: [chief.id],
        shortestPauseMs: 50,
        log,
      }),
    ],
  });
}

let boss: ReturnType<FakeDiscord['user']>;
let guild: ReturnType<FakeDiscord['guild']>;
let keepers: ReturnType<ReturnType<FakeDiscord['guild']>['role']>;
let chief: ReturnType<FakeTelegram['user']>;

beforeAll(async () => {
  [discord, telegram] = await Promise.all([startFakeDiscord(), startFakeTelegram()]);
  boss = discord.user({ name: 'boss' });
  chief = telegram.user({ name: 'Chief' });
  guild = discord.guild();
  keepers = guild.role({ name: 'keepers' });
  web = await start({ publicUrl });
  await discord.until(() => discord.commands().length > 0);
});
afterAll(async () => {
  await web.stop();
  await discord.stop();
  await telegram.stop();
});

const linkForm = /https:\/\/kinora\.example\/sign-in#([\w-]{43})/;

/** Somebody who has opened the link of an answer. */
async function opened(text: string): Promise<Browser> {
  const [, token = ''] = linkForm.exec(text) ?? [];
  const browser = new Browser(web);
  const response = await browser.signIn(token);
  if (response.status !== 200) throw new Error(`${response.status} by the link of: ${text}`);
  return browser;
}

const statusOf = async (browser: Browser): Promise<number> => (await browser.call('/v1/admin/stats')).status;

describe('in Discord', () => {
  const asks = async (who: typeof boss): Promise<string> => {
    const asked = who.runs('/web', {}, { channel: guild.channel() });
    const reply = await discord.until(() => asked.replies().find(({ text }) => text !== ''));
    expect(reply.ephemeral).toBe(true);
    return reply.text;
  };

  it('the answer is for the person alone, and their account is the one of the chat', async () => {
    const ada = discord.user({ name: 'ada_l' });
    const text = await asks(ada);
    expect(text).toMatch(/It works once, within 5 minutes/);
    // As Discord takes a link that it shall not look at.
    expect(text).toMatch(/\n<https:\/\/kinora\.example\/sign-in#[\w-]{43}>$/);
    const browser = await opened(text);
    expect(await browser.me()).toMatchObject({
      user: `discord:${ada.id}`,
      platform: 'discord',
      name: 'ada_l',
      scopes: ['use'],
    });
    expect(await statusOf(browser)).toBe(403);
  });

  it('an admin is who is one in chat, by id or by a role that is asked for', async () => {
    expect(await statusOf(await opened(await asks(boss)))).toBe(200);
    const keeper = discord.user({ name: 'keeper' });
    guild.member(keeper, { roles: [keepers] });
    expect(await statusOf(await opened(await asks(keeper)))).toBe(200);
    // Whoever rules a server rules no machine.
    const moderator = discord.user({ name: 'moderator' });
    guild.member(moderator, { permissions: 8n });
    expect(await statusOf(await opened(await asks(moderator)))).toBe(403);
    // A role of the same name elsewhere is another one.
    const elsewhere = discord.guild();
    const pretender = discord.user({ name: 'pretender' });
    elsewhere.member(pretender, { roles: [elsewhere.role({ name: 'keepers' })] });
    expect(await statusOf(await opened(await asks(pretender)))).toBe(403);
  });

  it('whoever cannot be asked about is no admin', async () => {
    const keeper = discord.user({ name: 'late' });
    guild.member(keeper, { roles: [keepers] });
    discord.fail({ route: /members/, status: 403, times: 2 });
    const browser = await opened(await asks(keeper));
    expect(await browser.me()).toMatchObject({ scopes: ['use'] });
    expect(await statusOf(browser)).toBe(200);
  });
});

describe('in Telegram', () => {
  it('the answer comes in the private chat, also to those who ask in a group', async () => {
    const ada = telegram.user({ name: 'Ada' });
    const own = telegram.privateChat({ user: ada, started: true });
    own.sendsText('/web');
    const first = await telegram.until(() => telegram.answers(own).at(-1));
    const browser = await opened(first.text);
    const [, link = ''] = /(https:.*)$/.exec(first.text) ?? [];
    expect(first.entities).toEqual([expect.objectContaining({ type: 'text_link', url: link })]);
    expect(await browser.me()).toMatchObject({
      user: `telegram:${ada.id}`,
      platform: 'telegram',
      name: 'Ada',
    });
    expect(await statusOf(browser)).toBe(403);
    const group = telegram.group({ members: [ada] });
    group.sendsText('/web', { from: ada });
    const said = await telegram.until(() => telegram.answers(group).at(-1));
    expect(said.text).toBe(inert(en.web.sentPrivately));
    expect(
      telegram
        .answers(group)
        .map(({ text }) => text)
        .join(),
    ).not.toContain('sign-in');
    expect(await (await opened(telegram.answers(own).at(-1)?.text ?? '')).me()).toMatchObject({
      user: `telegram:${ada.id}`,
    });
  });

  it('whoever has no private chat with the bot, or hides behind a group, is told what to do', async () => {
    const bob = telegram.user({ name: 'Bob' });
    const group = telegram.group({ members: [bob] });
    group.sendsText('/web', { from: bob });
    const told = await telegram.until(() => telegram.answers(group).at(-1));
    expect(told.text).toBe(en.refusal.noPrivateChat);
    const ghost = telegram.user({ name: 'Ghost' });
    const theirs = telegram.group({ members: [bob], anonymousAdmins: [ghost] });
    theirs.sendsText('/web', { from: ghost });
    const answer = await telegram.until(() => telegram.answers(theirs).at(-1));
    expect(answer.text).toBe(inert(en.web.ownName));
  });

  it('an admin is whose id the settings name, as in chat', async () => {
    const own = telegram.privateChat({ user: chief, started: true });
    own.sendsText('/web');
    const answer = await telegram.until(() => telegram.answers(own).at(-1));
    expect(await statusOf(await opened(answer.text))).toBe(200);
  });
});

it('without KINORA_PUBLIC_URL it says what to set to admins, and whom to ask to others', async () => {
  await web.stop();
  web = await start();
  const answerTo = async (who: ReturnType<FakeTelegram['user']>, text = '/web'): Promise<string> => {
    const own = telegram.privateChat({ user: who, started: true });
    const before = telegram.answers(own).length;
    own.sendsText(text);
    return await telegram.until(() => telegram.answers(own)[before]?.text);
  };
  expect(await answerTo(chief)).toBe(inert(en.web.setAddress));
  expect(await answerTo(telegram.user({ name: 'Cy' }))).toBe(inert(en.web.noAddress));
  expect(await answerTo(telegram.user({ name: 'Mei', languageCode: 'zh-hans' }))).toBe(
    inert(zh.web.noAddress),
  );
});
