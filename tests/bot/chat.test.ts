/** Pictures, places and prompts as they come in real chats, on both platforms. */
import sharp from 'sharp';
import { afterEach, describe, expect, it, type TestContext } from 'vitest';
import { startFakeTelegram } from '../fakes/telegram/server.ts';
import { photo, Stage, type StageOptions } from '../helpers/discord-stage.ts';
import { TelegramWorld, photo as telegramPhoto } from '../helpers/telegram-world.ts';

async function telegram(
  { onTestFinished }: TestContext,
  ...args: Parameters<typeof TelegramWorld.start>
): Promise<TelegramWorld> {
  const world = await TelegramWorld.start(...args);
  onTestFinished(() => world.stop());
  return world;
}

const stages: Stage[] = [];
afterEach(async () => {
  for (const stage of stages.splice(0)) await stage.stop();
});

async function discord(options: StageOptions = {}): Promise<Stage> {
  const stage = await Stage.start(options);
  stages.push(stage);
  return stage;
}

describe('Telegram', () => {
  it('covers the video of a photo under a cover', async (test) => {
    const world = await telegram(test);
    const ada = world.fake.user();
    const group = world.fake.group({ members: [ada] });
    await group.sendsPhoto(await telegramPhoto(), '/animate waves', { from: ada, spoiler: true });
    expect((await world.fake.until(() => world.videos(group)[0])).media?.spoiler).toBe(true);
  });

  it('keeps the rules of a group that has become a supergroup with another id', async (test) => {
    const fake = await startFakeTelegram();
    const [mod, ada] = [fake.user({ name: 'Mod' }), fake.user()];
    const world = await telegram(test, {}, fake);
    const old = fake.group({ members: [ada], admins: [mod], botIsAdmin: true });
    const fresh = fake.group({ members: [ada], admins: [mod], botIsAdmin: true });
    old.sendsText('/rules words add gore', { from: mod });
    await fake.until(() => /Blocked words/.test(world.last(old)?.text ?? ''));
    old.sendsOther({ migrate_to_chat_id: fresh.id }, { from: mod });
    fresh.sendsOther({ migrate_from_chat_id: old.id }, { from: mod });
    await fresh.sendsPhoto(await telegramPhoto(), '/animate gore', { from: ada });
    await fake.until(() => /moderators/.test(world.last(fresh)?.text ?? ''));
  });

  it('posts the video for a deleted topic into the group, or gives it up at once', async (test) => {
    const world = await telegram(test);
    const { fake } = world;
    const ada = fake.user();
    const group = fake.group({ members: [ada], forum: true });
    world.isHeld = true;
    const request = await group.sendsPhoto(await telegramPhoto(), '/animate waves', {
      from: ada,
      threadId: 5,
    });
    const status = await fake.until(() => world.last(group));
    await fake.until(() => status.text.includes('step'));
    group.deletes(status);
    group.deletes(request);
    const gone = fake.fail({
      method: 'sendVideo',
      status: 400,
      description: 'Bad Request: message thread not found',
      times: 1_000,
    });
    world.isHeld = false;
    await fake.until(async () => (await world.redis.connect().zcard('{kinora}:pending')) === 0);
    expect(gone.hits).toBeGreaterThan(0);
    expect(gone.hits).toBeLessThanOrEqual(2); // with the topic, and once more without
  });

  it('animates a still sticker, which is what it makes of every WebP file', async (test) => {
    const world = await telegram(test);
    const chat = world.fake.privateChat();
    const create = { width: 512, height: 512, channels: 3, background: '#c02020' } as const;
    const sticker = chat.sendsSticker(await sharp({ create }).webp().toBuffer());
    chat.repliesTo(sticker, '/animate zoom in');
    await world.fake.until(() => world.videos(chat).length === 1);
  });
});

describe('Discord', () => {
  it('covers the video of a picture under a cover', async () => {
    const stage = await discord();
    const covered = { ...photo, name: 'SPOILER_photo.jpg' };
    const asked = { image: covered, prompt: 'waves' };
    const shown = await stage.video(stage.ada.runs('/animate', asked, { channel: stage.channel }));
    expect(shown.attachments.map(({ name }) => name)).toEqual([expect.stringMatching(/^SPOILER_/)]);
  });

  it('fetches a picture again whose first download failed', async () => {
    const stage = await discord({ platform: { pictureDeadlineMs: 2_000 } });
    stage.server.fail({ route: '/ephemeral-attachments', status: 503, times: 1 });
    const asked = { image: photo, prompt: 'waves' };
    await stage.video(stage.ada.runs('/animate', asked, { channel: stage.channel }));
  });

  it('takes the first picture of a message that can be animated', async () => {
    const stage = await discord();
    const bytes = Buffer.from('GIF89a\x01\0\x01\0\0\0\0;', 'latin1');
    const gif = { name: 'a.gif', bytes, contentType: 'image/gif' };
    const posted = stage.bob.posts(stage.channel, { files: [gif, photo] });
    const menu = stage.ada.usesContextMenu(posted, 'Animate');
    const form = await stage.server.until(() => menu.modal());
    await stage.video(stage.ada.submits(form, { prompt: 'pan left' }));
  });
});
