/** Who is meant in Telegram: in topics, replies and mentions, and where people write as a channel or a group. */
import { describe, expect, it, type TestContext } from 'vitest';
import { en } from '../../../src/bot/sentences/en.ts';
import { offeredMotions } from '../../../src/request/motions.ts';
import type { FakeChat, GroupOptions, SendOptions } from '../../fakes/telegram/chat.ts';
import { type FakeTelegram, startFakeTelegram } from '../../fakes/telegram/server.ts';
import { photo, TelegramWorld } from '../../helpers/telegram-world.ts';

const news = { id: -1_003_000_000_001, title: 'News' };

/** A Kinora whose admin is "boss", in a group of four. */
async function begin({ onTestFinished }: TestContext, options: GroupOptions = {}) {
  const fake = await startFakeTelegram();
  const [boss, eve, ada, bob] = ['Boss', 'Eve', 'Ada', 'Bob'].map((name) => fake.user({ name }));
  if (!boss || !eve || !ada || !bob) throw new Error('four people');
  const world = await TelegramWorld.start({ adminUserIds: [boss.id] }, fake);
  onTestFinished(() => world.stop());
  const group = fake.group({ members: [ada, bob, boss], owner: eve, botIsAdmin: true, ...options });
  const says = async (text: string, how: SendOptions = {}): Promise<string> =>
    await answered(fake, group, () => group.sendsText(text, { from: boss, ...how }));
  return { fake, world, group, boss, eve, ada, bob, says };
}

/** What the bot answers, without the invisible signs that keep it inert. */
async function answered(fake: FakeTelegram, chat: FakeChat, send: () => unknown): Promise<string> {
  const before = fake.answers(chat).length;
  send();
  const answer = await fake.until(() => fake.answers(chat)[before]);
  return answer.text.replaceAll('\u2060', '');
}

describe.concurrent('a message in a topic', () => {
  it('is no reply to the person who opened the topic', async (test) => {
    const { says, group, eve } = await begin(test, { forum: true });
    const { id: threadId } = group.opensTopic('Cats', eve);
    for (const command of ['quota show', 'quota grant 500', 'quota set 20', 'quota reset', 'weight set 2']) {
      expect(await says(`/${command}`, { threadId }), command).toMatch(/^Missing: (TARGET|NUMBER)\./);
    }
    for (const command of ['ban', 'ban 24 spam', 'unban']) {
      expect(await says(`/${command}`, { threadId })).toMatch(/^Missing: USER\./);
    }
    expect(await says('/ban 5003 24 spam', { threadId })).toMatch(/^telegram:5003 is banned until/);
    expect(await says('/bans', { threadId })).toMatch(/^Banned: 1\n• telegram:5003 · until .*: spam$/);
    expect(await says('/weight list', { threadId })).toBe(en.admin.noWeights);
    expect(await says('/cancel', { threadId })).toMatch(/^Missing: JOB\./);
    expect(await says(`/quota show ${eve.id}`)).toContain(
      '0 of 50 credits used today (limit by default), 0 extra',
    );
  });

  it('is one to whom it really replies to', async (test) => {
    const { says, group, ada, bob, eve } = await begin(test, { forum: true });
    const { id: threadId } = group.opensTopic('Cats', eve);
    const spam = group.sendsText('BUY MY COINS', { from: ada, threadId });
    expect(await says('/ban 24 spam https://spam.example', { replyTo: spam })).toMatch(
      new RegExp(`^telegram:${ada.id} is banned until`),
    );
    // In the topic that all groups have, and in one from before the bot came.
    const inGeneral = group.sendsText('hello', { from: bob });
    expect(await says('/quota grant 7', { replyTo: inGeneral })).toContain(`telegram:${bob.id} now has 7`);
    expect(await says('/quota show', { threadId: 9_999 })).toMatch(/^Missing: TARGET\./);
  });
});

describe.concurrent('a comment under a post of a channel', () => {
  it('is no reply to Telegram, which forwards such posts', async (test) => {
    const { says, group, ada } = await begin(test);
    const post = group.sendsText('Sale!', { postOf: news });
    expect(await says('/quota show', { replyTo: post })).toMatch(/^Missing: TARGET\./);
    expect(await says('/quota grant 500', { replyTo: post })).toMatch(/^Missing: TARGET\./);
    expect(await says('/ban', { replyTo: post })).toMatch(/^Missing: USER\./);
    const comment = group.repliesTo(post, 'BUY MY COINS', { from: ada });
    expect(await says('/ban 24', { replyTo: comment })).toContain(`telegram:${ada.id} is banned until`);
    expect(await says('/bans')).toMatch(/^Banned: 1\n/);
  });
});

describe.concurrent('a reply', () => {
  it('means its author only where nobody is named', async (test) => {
    const { says, group, ada, bob } = await begin(test);
    const replyTo = group.sendsText('hello', { from: ada });
    const his = `telegram:${bob.id}`;
    expect(await says(`/quota set ${bob.id} 20`, { replyTo })).toBe(`user:${his}: 20 credits a day.`);
    expect(await says(`/quota show ${bob.id}`, { replyTo })).toContain(`${his}: 0 of 20`);
    expect(await says(`/quota grant ${bob.id} 3`, { replyTo })).toBe(`${his} now has 3 extra credits.`);
    expect(await says(`/weight set ${bob.id} 2`, { replyTo })).toContain(`user:${his}: weight 2`);
    expect(await says(`/ban ${bob.id} 24 spam`, { replyTo })).toContain(`${his} is banned until`);
    expect(await says(`/unban ${bob.id}`, { replyTo })).toBe(`${his} is not banned any more.`);
    expect(await says('/ban 5002 spam', { replyTo })).toBe(en.admin.idOrHours('5002h', 'telegram:5002'));
    expect(await says('/ban @bob 24 spam', { replyTo })).toMatch(/"@bob" is no user/);
    expect(await says('/bans', { replyTo })).toBe(en.admin.noBans);
    expect(await says('/quota show', { replyTo })).toContain(`telegram:${ada.id}: 0 of 50`);
  });

  it('is asked back about a number that may be a person', async (test) => {
    const { says, group, ada } = await begin(test);
    const replyTo = group.sendsText('hello', { from: ada });
    const hers = `telegram:${ada.id} 5002`;
    expect(await says('/quota grant 5002', { replyTo })).toBe(en.admin.idOrCredits(hers, 'telegram:5002'));
    expect(await says('/quota set 20 5002', { replyTo })).toBe(en.admin.severalTargets);
    expect(await says('/quota show', { replyTo })).toContain(`telegram:${ada.id}: 0 of 50`);
    expect(await says('/quota show', { replyTo })).toContain(', 0 extra,');
    expect(await says(`/quota grant ${hers}`, { replyTo })).toContain('now has 5002 extra credits');
  });

  it('to a bot, or to a hidden person, means nobody', async (test) => {
    const { says, group, fake, world, boss } = await begin(test);
    await says('/queue');
    const replyTo = await fake.until(() => world.last(group));
    expect(await says('/ban 24 spam', { replyTo })).toMatch(/^Missing: USER\./);
    const hidden = { external_reply: { origin: { type: 'hidden_user', sender_user_name: 'X', date: 1 } } };
    const command = { text: '/ban 24 spam', entities: [{ type: 'bot_command', offset: 0, length: 4 }] };
    expect(
      await answered(fake, group, () => group.sendsOther({ ...command, ...hidden }, { from: boss })),
    ).toMatch(/^Missing: USER\./);
    expect(await says('/bans')).toBe(en.admin.noBans);
  });

  it('to who came by themselves means them, and to who was added or removed by others nobody', async (test) => {
    const { says, group, ada, eve } = await begin(test);
    const added = group.sendsOther({ new_chat_members: [ada.api] }, { from: eve });
    const removed = group.sendsOther({ left_chat_member: ada.api }, { from: eve });
    for (const replyTo of [added, removed]) {
      expect(await says('/ban 24 spam', { replyTo })).toMatch(/^Missing: USER\./);
    }
    const joined = group.sendsOther({ new_chat_members: [ada.api] }, { from: ada });
    expect(await says('/ban 24 spam', { replyTo: joined })).toContain(`telegram:${ada.id} is banned until`);
    expect(await says('/bans')).toMatch(/^Banned: 1\n/);
  });

  it('to somebody elsewhere means them', async (test) => {
    const { says, fake, ada } = await begin(test);
    const elsewhere = fake.group({ members: [ada] });
    const externalReplyTo = elsewhere.sendsText('BUY MY COINS', { from: ada });
    expect(await says('/ban 24 spam', { externalReplyTo })).toContain(`telegram:${ada.id} is banned until`);
  });

  it('or another message may name people who have no user name', async (test) => {
    const { says, group, ada, bob } = await begin(test);
    const replyTo = group.sendsText('hello', { from: bob });
    const mentions = [ada];
    const hers = `telegram:${ada.id}`;
    expect(await says('/ban Ada 24 spam', { mentions, replyTo })).toContain(`${hers} is banned until`);
    expect(await says('/bans')).toMatch(/^Banned: 1\n.*: spam$/);
    expect(await says('/unban Ada', { mentions })).toBe(`${hers} is not banned any more.`);
    expect(await says('/quota grant Ada 500', { mentions })).toBe(`${hers} now has 500 extra credits.`);
    expect(await says('/ban 24 Ada spam', { mentions, replyTo })).toBe(en.admin.severalTargets);
    expect(await says('/bans')).toBe(en.admin.noBans);
  });
});

describe.concurrent('who writes as a channel', () => {
  it('is refused, since nobody can tell who that is, until the moderators allow it', async (test) => {
    const { says, fake, world, group, ada, eve } = await begin(test);
    const asks = async (how: SendOptions) => {
      const before = fake.answers(group).length;
      const message = await group.sendsPhoto(await photo(), '/animate waves', how);
      const answer = await fake.until(() => fake.answers(group)[before]);
      return { message, answer };
    };
    const refusedBy = async (how: SendOptions, sentence: RegExp | string) => {
      const { answer } = await asks(how);
      await fake.until(() => new RegExp(sentence).test(answer.text.replaceAll('\u2060', '')));
    };
    // Banned under her own name, with as many channels as she likes.
    const hello = group.sendsText('hello', { from: ada });
    await says('/ban 24 spam', { replyTo: hello });
    await refusedBy({ from: ada }, '^You cannot use Kinora');
    for (const id of [1, 2, 3]) {
      await refusedBy({ asChannel: { id: news.id - id, title: 'Spam' } }, en.rules.refused.asChannel);
    }
    expect(world.runs).toEqual([]);

    expect(await says('/rules aschannel on', { asChannel: news })).toBe(en.rules.notModerator);
    expect(await says('/rules aschannel on', { from: eve })).toContain(
      'Requests in the name of a channel: on',
    );
    const { message, answer } = await asks({ asChannel: news });
    await fake.until(() => answer.video);
    expect(world.runs.map(({ request }) => request.userKey)).toEqual([`telegram:as${news.id}`]);
    // The identity is the channel's, and banned by a reply.
    expect(await says('/quota show', { replyTo: message })).toContain(`telegram:as${news.id}: 2 of 50`);
    expect(await says('/ban 24 spam', { replyTo: message })).toContain(
      `telegram:as${news.id} is banned until`,
    );
    await refusedBy({ asChannel: news }, '^You cannot use Kinora');
    expect(await says(`/unban telegram:as${news.id}`)).toContain('is not banned any more');
    expect(await says('/rules aschannel off', { from: eve })).not.toContain('in the name of a channel');
    await refusedBy({ asChannel: news }, en.rules.refused.asChannel);
  });

  it('as the group itself is one of its admins, and banned as such', async (test) => {
    const fake = await startFakeTelegram();
    const [boss, ghost] = [fake.user({ name: 'Boss' }), fake.user({ name: 'Ghost' })];
    const world = await TelegramWorld.start({ adminUserIds: [boss.id] }, fake);
    test.onTestFinished(() => world.stop());
    const group = fake.group({ members: [boss], anonymousAdmins: [ghost] });
    const message = await group.sendsPhoto(await photo(), '/animate waves', { from: ghost });
    const video = await fake.until(() => world.videos(group)[0]);
    // Whoever presses is known: banned as a person, they cannot go on as the group.
    const says = (text: string) => answered(fake, group, () => group.sendsText(text, { from: boss }));
    expect(await says(`/ban ${ghost.id}`)).toContain(`telegram:${ghost.id} is banned for good`);
    const press = group.presses(video, 'Re-roll', { from: ghost });
    await fake.until(() => press.answer?.text === en.refusal.notYours);
    expect(await says(`/unban ${ghost.id}`)).toContain('is not banned any more');
    group.presses(video, 'Re-roll', { from: ghost });
    await fake.until(() => world.videos(group).length === 2);
    const ban = await answered(fake, group, () => group.repliesTo(message, '/ban 24 spam', { from: boss }));
    expect(ban).toContain(`telegram:as${group.id} is banned until`);
    await group.sendsPhoto(await photo(), '/animate waves', { from: ghost });
    await fake.until(() => world.last(group)?.text.startsWith('You cannot use Kinora'));
    // The bot's admins are never known by the group's name.
    expect(
      await answered(fake, group, () =>
        group.sendsText('/unban@kinora_bot', { from: ghost, replyTo: message }),
      ),
    ).toBe(en.refusal.notAdmin);
  });
});

describe.concurrent('commands of admins in a group', () => {
  it('of strangers are left to other bots, unless they name this one', async (test) => {
    const { says, fake, world, group, ada, eve, boss } = await begin(test);
    const replyTo = group.sendsText('hello', { from: ada });
    for (const from of [ada, eve]) {
      for (const command of ['ban', 'ban 24 spam', 'stats', 'pause', 'unban', 'quota show', 'rules']) {
        if (command === 'rules' && from === eve) continue; // an admin of the group
        group.sendsText(`/${command}`, { from, replyTo });
        group.sendsText(`/${command}@other_bot`, { from });
      }
    }
    group.sendsText('/ban', { asChannel: news, replyTo });
    expect(await says('/queue', { from: ada })).toBe('The queue is empty.');
    expect(fake.answers(group)).toHaveLength(1);
    expect(await says('/ban@kinora_bot', { from: ada, replyTo })).toBe(en.refusal.notAdmin);
    expect(await says('/rules@Kinora_Bot', { from: ada })).toBe(en.rules.notModerator);
    expect(await says('/rules', { from: eve })).toMatch(/^Channels: all/);
    expect(await says('/stats', { from: boss })).toMatch(/^Queue: running/);
    // People may cancel their own jobs.
    const answers = fake.answers(group).length;
    for (const command of ['cancel', 'cancel 17', 'cancel my order'])
      group.sendsText(`/${command}`, { from: ada });
    expect(await says('/queue', { from: ada })).toBe('The queue is empty.');
    expect(fake.answers(group)).toHaveLength(answers + 1);
    expect(await says('/cancel@kinora_bot', { from: ada })).toMatch(/^Credits: 0 of 50/);
    expect(await says('/cancel tg-1-2', { from: ada })).toBe(en.refusal.gone);
    world.isHeld = true;
    await group.sendsPhoto(await photo(), '/animate waves', { from: ada });
    await fake.until(() => world.runs.length === 1);
    expect(await says('/cancel', { from: ada })).toContain('• running: waves');
    const alone = fake.privateChat({ user: ada });
    expect(await answered(fake, alone, () => alone.sendsText('/stats'))).toBe(en.refusal.notAdmin);
  });

  it('are none when an admin forwards what others wrote', async (test) => {
    const { says, fake, group, ada, boss } = await begin(test);
    const alone = fake.privateChat({ user: boss });
    for (const command of [`/quota grant ${ada.id} 500`, '/ban 5003 24 spam', '/pause']) {
      group.sendsText(command, { from: boss, forwarded: true });
      expect(await answered(fake, alone, () => alone.sendsText(command, { forwarded: true }))).toBe(
        en.helpText.captions({
          ...{ prompt: true, camera: true, negative: true, guidance: true, model: undefined },
          ...{ motions: offeredMotions(undefined), attributions: [] },
        }),
      );
    }
    expect(await says('/stats')).toMatch(/^Queue: running/);
    expect(await says(`/quota show ${ada.id}`)).toContain(', 0 extra,');
    expect(await says('/bans')).toBe(en.admin.noBans);
    expect(fake.answers(group)).toHaveLength(3);
  });
});
