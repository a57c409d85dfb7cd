/** Chats that change while Kinora works for them: topics, groups with a new id, and places where it may not write. */
import { describe, expect, it } from 'vitest';
import type { FakeChat } from '../../fakes/telegram/chat.ts';
import type { FakeMessage } from '../../fakes/telegram/message.ts';
import type { FakeUser } from '../../fakes/telegram/people.ts';
import { startFakeTelegram } from '../../fakes/telegram/server.ts';
import { photo, type TelegramWorld, telegramWorld } from '../../helpers/telegram-world.ts';

/** Nothing waits for an answer any more. */
const settled = async ({ redis }: TelegramWorld): Promise<boolean> =>
  (await redis.connect().zcard('{kinora}:pending')) === 0;

/** A request whose job has begun, and waits at its first step. */
async function running(world: TelegramWorld, group: FakeChat, threadId?: number): Promise<FakeMessage> {
  world.isHeld = true;
  const options = threadId === undefined ? {} : { threadId };
  const request = await group.sendsPhoto(await photo(), '/animate waves', options);
  const status = await world.fake.until(() =>
    world.fake.answers(group).find(({ replyTo }) => replyTo === request),
  );
  await world.fake.until(() => status.text.includes('step'));
  return status;
}

async function creditsOf(world: TelegramWorld, group: FakeChat): Promise<string> {
  const before = world.fake.answers(group).length;
  group.sendsText('/me');
  await world.fake.until(() => world.fake.answers(group).length > before);
  return world.last(group)?.text ?? '';
}

describe.concurrent('a topic', () => {
  it.for(['closed', 'deleted'] as const)(
    'that was %s meanwhile: the video goes to the group',
    async (how, test) => {
      const world = await telegramWorld(test);
      const { fake } = world;
      const group = fake.group({ members: [fake.user()], forum: true });
      const status = await running(world, group, 5);
      if (how === 'deleted') group.deletesTopic(5);
      else {
        group.deletes(status);
        group.closesTopic(5);
      }
      world.isHeld = false;
      const video = await fake.until(() => world.videos(group)[0]);
      expect(video.placing.threadId).toBeUndefined();
      await fake.until(() => settled(world));
      expect(fake.calls('sendVideo')).toHaveLength(2);
      expect(await creditsOf(world, group)).toMatch(/^Credits: 2 of 50/);
    },
  );

  it.for(['Bad Request: message thread not found', 'Bad Request: TOPIC_CLOSED'])(
    'and its group that answer "%s" get two attempts, and the credits go back',
    async (description, test) => {
      const world = await telegramWorld(test);
      const { fake } = world;
      const group = fake.group({ members: [fake.user()], forum: true });
      group.deletes(await running(world, group, 5));
      const gone = fake.fail({ method: 'sendVideo', status: 400, description, times: 1_000 });
      world.isHeld = false;
      await fake.until(() => settled(world));
      expect(gone.hits).toBe(2);
      expect(await creditsOf(world, group)).toMatch(/^Credits: 0 of 50/);
    },
  );

  it('in which no message can be changed gets a new one, or the group does', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const group = fake.group({ members: [fake.user()], forum: true });
    await running(world, group, 5);
    group.closesTopic(5);
    fake.fail({ method: /^edit/, status: 400, description: 'Bad Request: TOPIC_CLOSED', times: 1_000 });
    world.isHeld = false;
    const video = await fake.until(() => world.videos(group)[0]);
    expect(video.placing.threadId).toBeUndefined();
  });

  it('that is the general one is answered in, whether or not its id is told', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const group = fake.group({ members: [fake.user()], forum: true });
    for (const threadId of [undefined, 1]) {
      const before = world.videos(group).length;
      const status = await running(world, group, threadId);
      group.deletes(status);
      world.isHeld = false;
      await fake.until(() => world.videos(group).length > before);
    }
    for (const { params } of fake.calls('sendVideo')) expect(params).not.toHaveProperty('message_thread_id');
  });
});

describe.concurrent('a video that is refused', () => {
  it.for([400, 403, 404, 413] as const)(
    'with %i is given up after a few attempts, and is not charged',
    { timeout: 30_000 },
    async (status, test) => {
      const world = await telegramWorld(test);
      const { fake } = world;
      const chat = fake.privateChat();
      const message = await running(world, chat);
      const description = status === 400 ? 'Bad Request: STRANGE' : undefined;
      const refused = fake.fail({
        method: 'editMessageMedia',
        status,
        ...(description ? { description } : {}),
        times: 1_000,
      });
      world.isHeld = false;
      await fake.until(() => settled(world));
      expect(refused.hits).toBeLessThanOrEqual(6);
      if (status !== 403) await fake.until(() => message.text.includes('Nothing was charged.'));
      expect(await creditsOf(world, chat)).toMatch(/^Credits: 0 of 50.*\nYou have no jobs/);
    },
  );
});

describe.concurrent('where Kinora may not write', () => {
  it.for(['muted', 'topic closed', 'removed'] as const)('no job is made: %s', async (how, test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const group = fake.group({ members: [fake.user()], forum: true });
    if (how === 'muted') group.mutesBot();
    if (how === 'topic closed') group.closedTopics.add(5);
    const refusals = fake.fail({
      method: 'sendMessage',
      delayMs: 1,
      ...(how === 'removed'
        ? { status: 403, description: 'Forbidden: bot was kicked from the group chat' }
        : {}),
    });
    await group.sendsPhoto(await photo(), '/animate waves', { threadId: 5 });
    await fake.until(() => refusals.hits === 1 && world.logged.includes('could not be posted'));
    group.admitsBot();
    expect(await creditsOf(world, group)).toMatch(/^Credits: 0 of 50.*\nYou have no jobs/);
    expect(world.runs).toEqual([]);
    expect(fake.calls('getFile')).toEqual([]);
  });
});

describe.concurrent('a group that becomes a supergroup', () => {
  const tellings = ['to from', 'from to', 'to', 'from', 'to to from from'];

  it.for(tellings)('keeps what was set for it, told by %s', async (told, test) => {
    const early = await startFakeTelegram();
    const [mod, boss, ada] = [early.user(), early.user(), early.user()];
    const world = await telegramWorld(test, { adminUserIds: [boss.id] }, early);
    const old = early.group({ members: [ada, boss], admins: [mod], basic: true });
    await said(world, old, '/rules words add gore', mod);
    await said(world, old, '/rules spoiler on', mod);
    await said(world, old, `/quota set community:${old.id} 7`, boss);
    await said(world, old, `/weight set community:${old.id} 2`, boss);
    const fresh = old.becomesSupergroup(told.split(' ') as ('to' | 'from')[]);
    await fresh.sendsPhoto(await photo(), '/animate gore', { from: ada });
    await early.until(() => /moderators/.test(world.last(fresh)?.text ?? ''));
    expect(await said(world, fresh, '/rules', mod)).toMatch(/spoilers: on[\s\S]*Blocked words: 1/);
    expect(await said(world, fresh, '/me', ada)).toMatch(/^Credits: 0 of 7/);
    expect(await said(world, fresh, '/weight list', boss)).toContain(`community:telegram:${fresh.id} · 2`);
    expect(world.runs).toEqual([]);

    // What its moderators change there is not undone by being told again.
    await said(world, fresh, '/rules words remove gore', mod);
    early.redeliver();
    await world.stopBot();
    await world.startBot();
    await fresh.sendsPhoto(await photo(), '/animate gore', { from: ada });
    expect((await early.until(() => world.videos(fresh)[0])).media?.spoiler).toBe(true);
  });

  it('takes its ban along, and that of those who write as it', async (test) => {
    const early = await startFakeTelegram();
    const [boss, ada, ghost] = [early.user(), early.user(), early.user()];
    const world = await telegramWorld(test, { adminUserIds: [boss.id] }, early);
    const banned = early.group({ members: [ada, boss], basic: true });
    const shared = early.group({ members: [ada, boss], anonymousAdmins: [ghost], basic: true });
    await said(world, banned, `/ban community:${banned.id}`, boss);
    await said(world, shared, `/ban telegram:as${shared.id} spam`, boss);
    const [fresh, open] = [banned.becomesSupergroup(), shared.becomesSupergroup()];
    await fresh.sendsPhoto(await photo(), '/animate waves', { from: ada });
    await early.until(() => world.last(fresh)?.text.startsWith('You cannot use Kinora'));
    await open.sendsPhoto(await photo(), '/animate waves', { from: ghost });
    await early.until(() => world.last(open)?.text.startsWith('You cannot use Kinora'));
    expect(world.runs).toEqual([]);
  });

  it('is known from the answer to a call alone, and gets the video of a job that began before', async (test) => {
    const early = await startFakeTelegram();
    const [mod, ada] = [early.user(), early.user()];
    const world = await telegramWorld(test, {}, early);
    const old = early.group({ members: [ada], admins: [mod], basic: true });
    await said(world, old, '/rules words add gore', mod);
    const status = await running(world, old);
    const fresh = old.becomesSupergroup([]);
    // Messages have other ids there, so one of another job must not be taken for the status message.
    const other = fresh.write({ user: early.world.bot }, status.present, {});
    while (fresh.messages.length < status.id + 2) fresh.write(other.author, status.present, {});
    world.isHeld = false;
    const video = await early.until(() => world.videos(fresh)[0]);
    expect(video.id).toBeGreaterThan(status.id + 2);
    expect(video.replyTo).toBeUndefined();
    await early.until(() => settled(world));
    expect(world.videos(fresh)).toHaveLength(1);
    await fresh.sendsPhoto(await photo(), '/animate gore', { from: ada });
    await early.until(() => /moderators/.test(world.last(fresh)?.text ?? ''));
    // Buttons under messages of the old group work in the new one.
    old.presses(status, 'Cancel', { from: ada });
    expect(await said(world, fresh, '/me', ada)).toMatch(/^Credits: 2 of 50/);
  });

  it('answers there what was asked before, by the same rules', async (test) => {
    const early = await startFakeTelegram();
    const [mod, ada] = [early.user(), early.user()];
    const world = await telegramWorld(test, {}, early);
    const old = early.group({ members: [ada], admins: [mod], basic: true });
    await said(world, old, '/rules words add gore', mod);
    await world.stopBot();
    await old.sendsPhoto(await photo(), '/animate gore', { from: ada });
    await old.sendsPhoto(await photo(), '/animate waves', { from: ada });
    old.sendsText('/rules words list', { from: mod });
    const fresh = old.becomesSupergroup();
    await world.startBot();
    await early.until(() => world.videos(fresh).length === 1);
    await early.until(() => early.answers(fresh).some(({ text }) => text.includes('gore')));
    expect(early.answers(fresh).some(({ text }) => /moderators/.test(text))).toBe(true);
    expect(world.runs).toHaveLength(1);
  });
});

async function said(world: TelegramWorld, group: FakeChat, text: string, from: FakeUser): Promise<string> {
  const before = world.fake.answers(group).length;
  group.sendsText(text, { from });
  await world.fake.until(() => world.fake.answers(group).length > before);
  return (world.last(group)?.text ?? '').replaceAll('\u2060', '');
}
