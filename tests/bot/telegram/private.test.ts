/** A video that only its person is to see, asked for in a group. */
import { describe, expect, it } from 'vitest';
import { en } from '../../../src/bot/sentences/en.ts';
import { photo, telegramWorld } from '../../helpers/telegram-world.ts';

describe.concurrent('a private video, asked for in a group', () => {
  it('is sent to the person alone, from the first word on, as what is made from it', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const ada = fake.user();
    const own = fake.privateChat({ user: ada, started: true });
    const group = fake.group({ members: [ada] });
    await group.sendsPhoto(await photo(), '/animate waves private', { from: ada });
    const video = await fake.until(() => world.videos(own)[0]);
    expect(video.history[0]?.body.text).toBe(en.status.encoding);
    expect(video.replyTo).toBeUndefined();
    own.presses(video, 'Re-roll');
    await fake.until(() => world.videos(own).length === 2);
    own.presses(video, 'Loop');
    await fake.until(() => world.videos(own).length === 3);
    expect(fake.answers(group)).toEqual([]);
    // The rules and caps of the group hold all the same.
    expect(world.runs[0]?.request.communityKey).toBe(`telegram:${group.id}`);
  });

  it('is not told of in the group: /me keeps its prompt back there', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const ada = fake.user();
    const own = fake.privateChat({ user: ada, started: true });
    const group = fake.group({ members: [ada] });
    world.isHeld = true;
    await group.sendsPhoto(await photo(), '/animate my secret private', { from: ada });
    await fake.until(() => world.runs.length === 1);
    for (const chat of [own, group]) chat.sendsText('/me', { from: ada });
    const told = await fake.until(() => world.last(group));
    expect(told.text).toContain('• running: …');
    expect(fake.transcript(group).split('/me')[1]).not.toContain('secret');
    await fake.until(() => world.last(own)?.text.includes('• running: my secret'));
  });

  it('may be a remix of a public one', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const ada = fake.user();
    const own = fake.privateChat({ user: ada, started: true });
    const group = fake.group({ members: [ada] });
    await group.sendsPhoto(await photo(), '/animate waves', { from: ada });
    const shared = await fake.until(() => world.videos(group)[0]);
    group.repliesTo(shared, '/animate pan left private', { from: ada });
    await fake.until(() => world.videos(own).length === 1);
    expect(fake.answers(group)).toEqual([shared]);
  });

  it.for(['not started', 'blocked'] as const)(
    'is refused where Kinora may not write: %s',
    async (how, test) => {
      const world = await telegramWorld(test);
      const { fake } = world;
      const ada = fake.user();
      const own = fake.privateChat({ user: ada, started: how === 'blocked' });
      if (how === 'blocked') own.removesBot();
      const group = fake.group({ members: [ada] });
      await group.sendsPhoto(await photo(), '/animate waves private', { from: ada });
      await fake.until(() => world.last(group)?.text === en.refusal.noPrivateChat);
      group.sendsText('/me', { from: ada });
      await fake.until(() => world.last(group)?.text.startsWith('Credits: 0 of 50'));
      expect(world.runs).toEqual([]);
    },
  );

  it('is refused to those who write as the group', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const ghost = fake.user();
    fake.privateChat({ user: ghost, started: true });
    const group = fake.group({ anonymousAdmins: [ghost] });
    await group.sendsPhoto(await photo(), '/animate waves private', { from: ghost });
    await fake.until(() => world.last(group)?.text === en.refusal.noPrivateChat);
    expect(world.runs).toEqual([]);
  });
});
