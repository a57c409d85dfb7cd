/** A photo alone, and the words after it: how most people begin. */
import { describe, expect, it } from 'vitest';
import { en } from '../../../src/bot/sentences/en.ts';
import { loadPack } from '../../../src/inference/packs/files.ts';
import type { FakeChat } from '../../fakes/telegram/chat.ts';
import type { FakeMessage } from '../../fakes/telegram/message.ts';
import { tinyPackPath } from '../../helpers/golden.ts';
import { svdManifest } from '../../helpers/svd-manifest.ts';
import { photo, type TelegramWorld, telegramWorld } from '../../helpers/telegram-world.ts';

/** Sends a photo without words, and returns what Kinora says to it. */
async function offered({ fake }: TelegramWorld, chat: FakeChat): Promise<FakeMessage> {
  const request = await chat.sendsPhoto(await photo());
  return await fake.until(() => fake.answers(chat).find(({ replyTo }) => replyTo === request));
}

const promptsOf = ({ runs }: TelegramWorld) => runs.map(({ request }) => request.generation.prompt);

describe.concurrent('a photo without words, in a private chat', () => {
  it('is answered with motions, each of which makes a video, also after a restart', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    const offer = await offered(world, chat);
    expect(offer.text).toBe(en.offer.ask);
    expect(offer.buttons.map(({ text }) => text)).toEqual(['Zoom in', 'Pan', 'Waves', 'Write your own']);
    chat.presses(offer, 'Zoom in');
    await fake.until(() => world.videos(chat).length === 1);
    await world.stopBot();
    await world.startBot();
    for (const button of ['Pan', 'Waves']) {
      const before = world.videos(chat).length;
      chat.presses(offer, button);
      await fake.until(() => world.videos(chat).length > before);
    }
    expect(promptsOf(world)).toEqual(['camera slowly zooming in', 'camera panning left', 'waves rolling']);
    for (const video of world.videos(chat)) expect(video.replyTo).toBe(offer.replyTo);
  });

  it.for(['clouds drifting seed=7', '/animate clouds drifting seed=7'])(
    'is kept for the next message, once: %s',
    async (words, test) => {
      const world = await telegramWorld(test);
      const { fake } = world;
      const chat = fake.privateChat();
      await offered(world, chat);
      chat.sendsText('clouds frames=900');
      await fake.until(() => world.last(chat)?.text.includes('from 1 to'));
      const sent = chat.sendsText(words);
      const video = await fake.until(() => world.videos(chat)[0]);
      expect(video.replyTo).toBe(sent);
      expect(world.runs[0]?.request.generation).toMatchObject({ prompt: 'clouds drifting', seed: 7 });
      chat.sendsText('thank you');
      await fake.until(() => world.last(chat)?.text.startsWith('Send a picture'));
      expect(world.runs).toHaveLength(1);
    },
  );

  it('may get words of the person by the last button, and stays under its cover', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    const request = await chat.sendsPhoto(await photo(), '', { spoiler: true });
    const offer = await fake.until(() => fake.answers(chat).find(({ replyTo }) => replyTo === request));
    await world.stopBot();
    await world.startBot();
    chat.presses(offer, 'Write your own');
    const question = await fake.until(() => fake.answers(chat)[1]);
    expect(question.text).toBe(en.offer.write);
    chat.repliesTo(question, 'snow falling');
    expect((await fake.until(() => world.videos(chat)[0])).media?.spoiler).toBe(true);
    expect(promptsOf(world)).toEqual(['snow falling']);
  });

  it('is animated at once by a model that reads no words', async (test) => {
    const world = await telegramWorld(test, { models: [svdManifest()] });
    const chat = world.fake.privateChat();
    const request = await chat.sendsPhoto(await photo());
    const isTaken = ({ replyTo, buttons }: FakeMessage): boolean =>
      replyTo === request && buttons.map(({ text }) => text).join() === en.buttons.cancel;
    await world.fake.until(() => world.fake.answers(chat).some(isTaken));
    expect(world.fake.answers(chat)).toHaveLength(1);
  });

  it('offers the models where there are several, and keeps the chosen one over a restart', async (test) => {
    const { manifest } = await loadPack(tinyPackPath);
    const words = { ...manifest, id: 'words-2', title: 'Words' };
    const world = await telegramWorld(test, { models: [svdManifest(), manifest, words] });
    const { fake } = world;
    const chat = fake.privateChat();
    const offer = await offered(world, chat);
    const labels = (): string[] => offer.buttons.slice(4).map(({ text }) => text);
    const [svd, tiny] = [`${svdManifest().title} · 2 credits`, `${manifest.title} · 2 credits`];
    // The default one reads no words, so the motions are those of the next.
    expect(labels()).toEqual([svd, `✓ ${tiny}`, 'Words · 2 credits']);
    chat.presses(offer, 'Words · 2 credits');
    await fake.until(() => labels().at(-1) === '✓ Words · 2 credits');
    expect(labels()).toEqual([svd, tiny, '✓ Words · 2 credits']);
    const made = () => world.runs.map(({ model, request: { generation } }) => [model, generation.prompt]);
    chat.sendsText('clouds drifting');
    await fake.until(() => world.videos(chat).length === 1);
    expect(made().at(-1)).toEqual(['words-2', 'clouds drifting']);

    await world.stopBot();
    await world.startBot();
    chat.presses(offer, 'Waves');
    await fake.until(() => world.videos(chat).length === 2);
    expect(made().at(-1)).toEqual(['words-2', 'waves rolling']);
    chat.presses(offer, 'Write your own');
    const question = await fake.until(() => fake.answers(chat).find(({ text }) => text === en.offer.write));
    chat.repliesTo(question, 'snow falling model=tiny');
    await fake.until(() => world.videos(chat).length === 3);
    expect(made().at(-1)).toEqual([manifest.id, 'snow falling']);
    // It is made at once by the one that looks at the picture alone.
    chat.presses(offer, svd);
    await fake.until(() => world.videos(chat).length === 4);
    expect(made().at(-1)).toEqual([svdManifest().id, '']);

    // A button under the settings has it made again by another one, whose own numbers count.
    const asked = await world.animated(chat, 'pan left model=words frames=9 guidance=12 seed=3');
    chat.presses(asked, 'Settings');
    const settings = await fake.until(() => fake.answers(chat).find(({ text }) => text.includes('seed=3')));
    const again = `Make it with ${svdManifest().title}`;
    expect(settings.buttons.map(({ text }) => text)).toEqual([again, `Make it with ${manifest.title}`]);
    chat.presses(settings, again);
    await fake.until(() => world.videos(chat).length === 6);
    const run = world.runs.at(-1);
    expect(run).toMatchObject({ model: svdManifest().id, request: { generation: { seed: 3 } } });
    expect(run?.request.generation).not.toHaveProperty('guidanceScale');
    expect(run?.request.generation).not.toHaveProperty('numFrames');
    const gone = chat.presses(settings, `model:00000000:${run?.id}`, { forged: true });
    await fake.until(() => gone.answer?.text === en.models.gone);
  });

  it('gives way to the next one, and an album is one', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    await offered(world, chat);
    await chat.sendsPhoto(await photo(), 'pan left');
    await fake.until(() => world.videos(chat).length === 1);
    chat.sendsText('thank you');
    await fake.until(() => world.last(chat)?.text.startsWith('Send a picture'));
    const before = fake.answers(chat).length;
    await chat.sendsAlbum([await photo(), await photo(), await photo()]);
    chat.sendsText('waves');
    await fake.until(() => world.videos(chat).length === 2);
    expect(fake.answers(chat)).toHaveLength(before + 2);
  });

  it('is there for its words when the bot restarts in the middle of them', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    await offered(world, chat);
    const download = fake.fail({ method: 'file', status: 'hang' });
    chat.sendsText('waves');
    await fake.until(() => download.hits === 1 && fake.pendingUpdates === 0);
    await world.stopBot();
    await world.startBot();
    await fake.until(() => world.videos(chat).length === 1);
    expect(fake.answers(chat)).toHaveLength(2);
    // Nothing of it is left behind.
    const redis = world.redis.connect();
    await fake.until(async () => (await redis.zcard('{kinora}:updates:done')) === 2);
    expect(await redis.exists('{kinora}:updates')).toBe(0);
  });

  it('that is gone cannot be animated by its buttons', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    const offer = await offered(world, chat);
    if (offer.replyTo) chat.deletes(offer.replyTo);
    const press = chat.presses(offer, 'Waves');
    await fake.until(() => press.answer?.text === en.refusal.noPicture);
    expect(world.runs).toEqual([]);
  });

  it('is nothing for Kinora in a group', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const group = fake.group({ members: [fake.user()], botIsAdmin: true });
    await group.sendsPhoto(await photo());
    group.sendsText('waves');
    group.sendsText('/queue');
    await fake.until(() => fake.answers(group).length === 1);
    expect(world.runs).toEqual([]);
  });
});
