/** Which pictures are taken, in whichever way somebody shows them, and that a cover stays on what is made of them. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { en } from '../../../src/bot/sentences/en.ts';
import type { FakeChat, SendOptions } from '../../fakes/telegram/chat.ts';
import type { FakeMessage } from '../../fakes/telegram/message.ts';
import type { FakeTelegram } from '../../fakes/telegram/server.ts';
import { photo, telegramWorld } from '../../helpers/telegram-world.ts';

const plain = await readFile(fileURLToPath(new URL('../../fixtures/pictures/plain.png', import.meta.url)));
const background = '#c02020';
const webp = await sharp({ create: { width: 512, height: 512, channels: 4, background } })
  .webp()
  .toBuffer();

/** Ways to ask for a video of a picture. `from` is another chat of the same person. */
const ways: Readonly<
  Record<string, (chat: FakeChat, from: FakeChat, options: SendOptions) => Promise<FakeMessage>>
> = {
  'a caption': async (chat, _, options) => await chat.sendsPhoto(await photo(), '/animate waves', options),
  'a caption of an album': async (chat, _, options) => {
    const [first] = await chat.sendsAlbum([await photo(), await photo()], '/animate waves', options);
    return first as FakeMessage; // an album has pictures
  },
  'a reply': async (chat, _, options) =>
    chat.repliesTo(await chat.sendsPhoto(await photo(), '', options), '/animate waves'),
  'a reply from another chat': async (chat, from, options) =>
    chat.sendsText('/animate waves', { externalReplyTo: await from.sendsPhoto(await photo(), '', options) }),
};

const group = (fake: FakeTelegram): FakeChat => fake.group({ members: [fake.user()], botIsAdmin: true });

describe.concurrent('a picture under a cover', () => {
  it.for(Object.keys(ways))('shown by %s becomes a video under a cover', async (way, test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const [chat, from] = [group(fake), group(fake)];
    await ways[way]?.(chat, from, { spoiler: true });
    expect((await fake.until(() => world.videos(chat)[0])).media?.spoiler).toBe(true);
    await ways[way]?.(chat, from, {});
    expect((await fake.until(() => world.videos(chat)[1])).media?.spoiler).toBe(false);
  });

  it('gives it to all that is made of its video', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    await chat.sendsPhoto(await photo(), 'waves', { spoiler: true });
    const first = await fake.until(() => world.videos(chat)[0]);
    for (const button of ['Re-roll', 'Vary subtle', 'Vary strong', 'Loop', 'Smooth ×3']) {
      const before = world.videos(chat).length;
      chat.presses(first, button);
      await fake.until(() => world.videos(chat).length > before);
    }
    chat.repliesTo(first, 'pan left');
    await fake.until(() => world.videos(chat).length === 7);
    chat.presses(world.videos(chat)[1] as FakeMessage, 'Re-roll');
    await fake.until(() => world.videos(chat).length === 8);
    expect(world.videos(chat).map(({ media }) => media?.spoiler)).toEqual(Array(8).fill(true));
  });
});

describe.concurrent('a picture', () => {
  it('may be a still sticker, here and in another chat; the others are refused', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const [chat, from] = [group(fake), group(fake)];
    chat.repliesTo(chat.sendsSticker(webp), '/animate zoom in');
    await fake.until(() => world.videos(chat).length === 1);
    chat.sendsText('/animate zoom in', { externalReplyTo: from.sendsSticker(webp) });
    await fake.until(() => world.videos(chat).length === 2);
    for (const kind of ['animated', 'video'] as const) {
      const before = fake.answers(chat).length;
      chat.repliesTo(chat.sendsSticker(webp, kind), '/animate zoom in');
      await fake.until(() => fake.answers(chat).length > before);
      expect(world.last(chat)?.text).toBe(en.refusal.noPicture);
    }
  });

  it.for([
    { name: 'photo.png', mimeType: 'application/octet-stream' },
    { name: 'photo.PNG', mimeType: '' },
    { name: 'photo', mimeType: 'application/octet-stream' },
    { name: 'photo.jpeg', mimeType: 'application/x-download' },
  ])('may be a file that is not called an image: %j', async (file, test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const [chat, from] = [group(fake), group(fake)];
    chat.sendsDocument({ ...file, bytes: plain }, '/animate waves');
    await fake.until(() => world.videos(chat).length === 1);
    const elsewhere = from.sendsDocument({ ...file, bytes: plain });
    chat.sendsText('/animate waves', { externalReplyTo: elsewhere });
    await fake.until(() => world.videos(chat).length === 2);
  });

  it('may be forwarded with a caption that was not meant for Kinora', async (test) => {
    const world = await telegramWorld(test);
    const chat = world.fake.privateChat();
    const caption = 'Sale! price=50$, size=L, code=2026';
    await chat.sendsPhoto(await photo(), caption, { forwarded: true });
    await world.fake.until(() => world.videos(chat).length === 1);
    expect(world.runs[0]?.request.generation.prompt).toBe(caption);
    await chat.sendsPhoto(await photo(), 'Sale! price=50$');
    await world.fake.until(() => world.videos(chat).length === 2);
    await chat.sendsPhoto(await photo(), 'waves code=2026');
    await world.fake.until(() => world.last(chat)?.text.startsWith('There is no option "code"'));
  });

  it.for([
    { name: 'notes.pdf', mimeType: 'application/octet-stream' },
    { name: 'clip.mp4', mimeType: 'video/mp4' },
    { name: 'sound.png', mimeType: 'audio/ogg' },
  ])('is not every file: %j', async (file, test) => {
    const world = await telegramWorld(test);
    const chat = world.fake.privateChat();
    chat.sendsDocument({ ...file, bytes: plain }, 'waves');
    await world.fake.until(() => world.last(chat)?.text === en.refusal.noPicture);
  });
});
