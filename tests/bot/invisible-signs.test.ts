/** Signs that cannot be seen, in prompts and names, as people in Discord and Telegram meet them. */
import { afterEach, describe, expect, it, type TestContext } from 'vitest';
import { en } from '../../src/bot/sentences/en.ts';
import { photo, Stage } from '../helpers/discord-stage.ts';
import { TelegramWorld, photo as telegramPhoto } from '../helpers/telegram-world.ts';

const nothings = ['\u200b\u200b', '\u200f', '\u3164', '\u2800 \u00ad', '\ufe0f\u200d', '\u{E0041}\u{E0042}'];
const turning = ['\u202e', '\u202b', '\u2067', '\u202d\u2066'];
const opening = /[\u202a\u202b\u202d\u202e\u2066\u2067\u2068]/gu;
const closing = /[\u202c\u2069]/gu;
const opened = (text: string): number =>
  [...text.matchAll(opening)].length - [...text.matchAll(closing)].length;

const stages: Stage[] = [];
afterEach(async () => {
  for (const stage of stages.splice(0)) await stage.stop();
});

async function discord(): Promise<Stage> {
  const stage = await Stage.start();
  stages.push(stage);
  return stage;
}

async function telegram({ onTestFinished }: TestContext): Promise<TelegramWorld> {
  const world = await TelegramWorld.start();
  onTestFinished(() => world.stop());
  return world;
}

describe('a prompt of nothing that can be seen is no prompt', () => {
  it('in Discord', async () => {
    const stage = await discord();
    for (const prompt of nothings) {
      const shown = await stage.video(
        stage.ada.runs('/animate', { image: photo, prompt }, { channel: stage.channel }),
      );
      expect(shown.text, JSON.stringify(prompt)).toMatch(/^seed /);
    }
    const asked = { image: photo, prompt: '\u200b', camera: 'zoom-in' };
    const shown = await stage.video(stage.ada.runs('/animate', asked, { channel: stage.channel }));
    expect(shown.text).toMatch(/^"camera slowly zooming in" · seed/);
  });

  it('in Telegram', async (test) => {
    const world = await telegram(test);
    const { fake } = world;
    const group = fake.group({ members: [fake.user()] });
    for (const [count, prompt] of nothings.entries()) {
      await group.sendsPhoto(await telegramPhoto(), `/animate prompt="${prompt}"`);
      await fake.until(() => world.videos(group).length === count + 1);
      expect(world.videos(group)[count]?.text, JSON.stringify(prompt)).toMatch(/^seed /);
    }
    // Under a picture in a private chat they are no words either.
    const chat = fake.privateChat();
    await chat.sendsPhoto(await telegramPhoto(), '\u200b\u3164');
    const answer = await fake.until(() => fake.answers(chat)[0]);
    const silent = fake.privateChat({ user: fake.user() });
    await silent.sendsPhoto(await telegramPhoto());
    const usual = await fake.until(() => fake.answers(silent)[0]);
    expect(answer.text).toBe(usual.text);
    expect(world.runs).toHaveLength(nothings.length);
  });
});

describe('a prompt cannot turn the words behind it', () => {
  it('in Discord: under the video, in lists, on buttons and in the settings', async () => {
    const stage = await discord();
    const { ada, channel } = stage;
    for (const sign of turning) {
      const prompt = `zoom in ${sign}sdrawkcab`;
      const video = await stage.video(ada.runs('/animate', { image: photo, prompt }, { channel }));
      expect(video.text).toContain('sdrawkcab');
      expect(opened(video.text)).toBe(0);
      const settings = await stage.said(ada.presses(video, en.buttons.settings), /sdrawkcab/);
      expect(opened(settings.text)).toBe(0);
    }
    await stage.stopWorker();
    const asked = ada.runs('/animate', { image: photo, prompt: 'pan \u202etfel' }, { channel });
    await stage.said(asked, /^Accepted/);
    const me = await stage.said(ada.runs('/me', {}, { channel }), /tfel/);
    expect(me.pressables.map(({ label }) => label)).toContain('Cancel: pan tfel');
    expect(opened(me.text)).toBe(0);
  });

  it('in Telegram: under the video, in lists, on buttons, in questions and settings', async (test) => {
    const world = await telegram(test);
    const { fake } = world;
    const chat = fake.privateChat();
    for (const sign of turning) {
      const video = await world.animated(chat, `zoom in ${sign}sdrawkcab`);
      expect(video.text).toContain('sdrawkcab');
      for (const button of [en.buttons.settings, en.buttons.remix]) {
        const before = fake.answers(chat).length;
        chat.presses(video, button);
        await fake.until(() => fake.answers(chat).length > before);
        expect(world.last(chat)?.text).toContain('sdrawkcab');
      }
    }
    world.isHeld = true;
    await chat.sendsPhoto(await telegramPhoto(), 'pan \u202etfel');
    await fake.until(() => world.runs.length === turning.length + 1);
    chat.sendsText('/me');
    const me = await fake.until(() => fake.answers(chat).find(({ text }) => text.startsWith('Credits')));
    expect(me.text).toContain('tfel');
    for (const { text, buttons } of fake.answers(chat)) {
      expect(opened(text), text).toBe(0);
      for (const button of buttons) expect(opened(button.text), button.text).toBe(0);
    }
  });
});
