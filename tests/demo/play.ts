/** What the people do: several of them on both platforms, in two languages, with an admin and a moderator. */
import { Locale, PermissionFlagsBits } from 'discord.js';
import type { FakeInteraction } from '../fakes/discord/interaction.ts';
import type { FakeMessage as DiscordMessage } from '../fakes/discord/message.ts';
import type { FakeChat } from '../fakes/telegram/chat.ts';
import type { FakeMessage as TelegramMessage } from '../fakes/telegram/message.ts';
import type { Narrator } from './narrator.ts';
import { PageVisit } from './page-visit.ts';
import { photograph, type Stage } from './stage.ts';

/** Everybody who is there before the bot is. */
export function cast({ discord, telegram }: Stage) {
  const user = {
    ada: discord.user({ name: 'Ada' }),
    bob: discord.user({ name: 'Bob' }),
    wei: discord.user({ name: 'Wei', locale: Locale.ChineseCN }),
    grace: discord.user({ name: 'Grace' }),
  };
  const guild = discord.guild({ name: 'Painters' });
  // The moderator, and the admin, to whom Discord would not offer her commands otherwise.
  for (const each of [user.bob, user.grace]) {
    guild.member(each, { permissions: PermissionFlagsBits.ManageGuild });
  }
  const channel = guild.channel({ name: 'animations' });
  const mei = telegram.user({ name: 'Mei', languageCode: 'zh-hans' });
  const person = {
    mei,
    tom: telegram.user({ name: 'Tom' }),
    uma: telegram.user({ name: 'Uma' }),
    max: telegram.user({ name: 'Max' }),
    olga: telegram.user({ name: 'Olga' }),
  };
  const { tom, uma, max, olga } = person;
  const group = telegram.group({ title: 'Hikers', members: [tom, uma, max, olga], owner: tom });
  return { ...user, ...person, guild, channel, group, chat: telegram.privateChat({ user: mei }) };
}

/** Slow machines are slow; nobody waits longer than this for one video. */
const videoWithinMs = 180_000;

export async function play(
  stage: Stage,
  people: ReturnType<typeof cast>,
  narrator: Narrator,
  { isShort }: { readonly isShort: boolean },
): Promise<void> {
  const { discord, telegram } = stage;
  const { ada, bob, wei, grace, mei, tom, uma, max, olga, channel, chat, group } = people;
  const [cat, coffee, astronaut] = await Promise.all([
    photograph('cat'),
    photograph('coffee'),
    photograph('astronaut'),
  ]);
  const inChannel = { channel };

  const video = async (asked: FakeInteraction): Promise<DiscordMessage> =>
    await discord.until(
      () => answersTo(asked).find(({ attachments }) => attachments.length > 0),
      videoWithinMs,
    );
  const said = async (asked: FakeInteraction, pattern: RegExp): Promise<DiscordMessage> =>
    await discord.until(() => answersTo(asked).find(({ text }) => pattern.test(text)), videoWithinMs);
  const answered = async (asked: FakeInteraction): Promise<DiscordMessage> =>
    await discord.until(() => answersTo(asked).find(({ loading }) => !loading));
  const videosIn = (where: FakeChat): TelegramMessage[] =>
    telegram.answers(where).filter((message) => message.video !== undefined);
  const nextVideo = async (where: FakeChat, before: number): Promise<TelegramMessage> => {
    await telegram.until(() => videosIn(where).length > before, videoWithinMs);
    const newest = videosIn(where).at(-1);
    if (!newest) throw new Error('there is no video');
    return newest;
  };
  const heard = async (where: FakeChat, before: number): Promise<TelegramMessage> =>
    await telegram.until(() => telegram.answers(where)[before]);

  narrator.scene('A photo and a few words become a video');
  const first = await video(
    ada.runs(
      '/animate',
      { image: cat, prompt: 'camera slowly zooming in', preset: 'fast', seed: 7 },
      inChannel,
    ),
  );
  await narrator.tell();

  narrator.scene('Remix: another prompt, everything else kept; the picture is not looked at again');
  const remix = ada.presses(first, 'Remix');
  await discord.until(() => remix.modal());
  await video(ada.submits(remix.modal(), { prompt: 'pan left, swaying in the wind' }));
  await narrator.tell();

  narrator.scene('What is hers is hers');
  await said(bob.presses(first, 'Delete'), /Only/);
  await narrator.tell();

  narrator.scene('Apps > Animate on anybody’s picture, and a word about the prompt');
  const posted = bob.posts(channel, { content: 'my breakfast', files: [coffee] });
  const menu = bob.usesContextMenu(posted, 'Animate', inChannel);
  await discord.until(() => menu.modal());
  await video(bob.submits(menu.modal(), { prompt: 'amazing masterpiece', preset: ['fast'] }));
  await narrator.tell();

  narrator.scene('Two platforms, one queue: Bob’s large job runs, Mei waits; Bob changes his mind');
  const large = bob.runs(
    '/animate',
    { image: astronaut, prompt: 'camera rotating clockwise', preset: 'high' },
    inChannel,
  );
  await said(large, /step [1-9]|Loading/);
  await chat.sendsPhoto(cat.bytes, '镜头缓缓推近 preset=fast', { from: mei });
  await telegram.until(() => telegram.answers(chat).some(({ text }) => text.includes('已接受')));
  chat.sendsText('/queue', { from: mei });
  await telegram.until(() => telegram.answers(chat).length === 2);
  const running = await said(large, /step/);
  await said(bob.presses(running, 'Cancel'), /Stopping/);
  await said(large, /Cancelled/);
  const hers = await nextVideo(chat, 0);
  await narrator.tell();

  narrator.scene('Vary subtle, in Chinese: it starts from the finished video');
  chat.presses(hers, '微调', { from: mei });
  await nextVideo(chat, 1);
  await narrator.tell();

  narrator.scene('The credits of the day are used up; an admin grants more');
  const wish = {
    image: astronaut,
    prompt: 'slow zoom out',
    ...(isShort ? { preset: 'fast', frames: 60 } : { preset: 'standard' }),
  };
  await answered(ada.runs('/animate', wish, inChannel));
  await answered(ada.runs('/me', {}, inChannel));
  await answered(grace.runs('/quota grant', { user: ada, credits: 5, reason: 'birthday' }, inChannel));
  await answered(bob.runs('/quota grant', { user: bob, credits: 5 }, inChannel));
  await video(ada.runs('/animate', wish, inChannel));
  await narrator.tell();

  narrator.scene('The rules of a server: its moderator blocks a word and covers videos');
  await answered(bob.runs('/rules words', { action: 'add', words: 'spider /giant \\w+/' }, inChannel));
  await answered(bob.runs('/rules spoiler', { action: 'on' }, inChannel));
  await said(
    wei.runs('/animate', { image: coffee, prompt: 'giant spiders crawling', preset: 'fast' }, inChannel),
    /屏蔽/,
  );
  await video(
    wei.runs('/animate', { image: coffee, prompt: '镜头拉远', preset: 'fast', loop: true }, inChannel),
  );
  await narrator.tell();

  narrator.scene('A group in Telegram: a reply to somebody’s photo; Settings and Loop under the result');
  const view = await group.sendsPhoto(astronaut.bytes, 'what a view', { from: tom });
  group.repliesTo(view, '/animate waves rolling preset=fast seed=3', { from: uma });
  const waves = await nextVideo(group, 0);
  group.presses(waves, 'Settings', { from: uma });
  await heard(group, 1);
  group.presses(waves, 'Loop', { from: uma });
  await nextVideo(group, 1);
  await narrator.tell();

  narrator.scene('What is no picture');
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
  const before = telegram.answers(group).length;
  group.sendsDocument({ name: 'logo.svg', bytes: svg, mimeType: 'image/svg+xml' }, '/animate spin', {
    from: uma,
  });
  await telegram.until(() => /JPEG/.test(telegram.answers(group)[before]?.text ?? ''));
  await narrator.tell();

  narrator.scene('An admin bans somebody, and looks at the books');
  const spam = group.sendsText('/animate BUY MY COINS', { from: max });
  await heard(group, before + 1);
  group.repliesTo(spam, '/ban 24 advertising', { from: olga });
  await heard(group, before + 2);
  group.repliesTo(view, '/animate zoom in preset=fast', { from: max });
  await telegram.until(() => /cannot use/.test(telegram.answers(group)[before + 3]?.text ?? ''));
  group.sendsText('/stats', { from: olga });
  await heard(group, before + 4);
  group.sendsText('/audit', { from: olga });
  await heard(group, before + 5);
  await narrator.tell();

  narrator.scene('Kinora is stopped and started again; the buttons of before still work');
  await stage.stopBot();
  await stage.startBot();
  await video(grace.runs('/animate', { image: cat, preset: 'fast', prompt: 'tilt up' }, inChannel));
  await video(bob.presses(await own(bob.name), 'Re-roll'));
  await narrator.tell();

  narrator.scene('/web: the same person on the studio page, with the videos of the chat');
  const link = await answered(ada.runs('/web', {}, inChannel));
  await narrator.tell();
  const [address = ''] = /http[^\s>]+/.exec(link.text) ?? [];
  const visit = await PageVisit.open(address);
  const inLibrary = await visit.library();
  const made = inLibrary.find(({ prompt }) => prompt === 'camera slowly zooming in');
  if (!made) throw new Error('the library has the video of the first scene');
  const listed = inLibrary.map(({ prompt, preset, seed }) => `🎞 "${prompt}" · seed ${seed} · ${preset}`);
  await narrator.elsewhere(`Browser · ${visit.origin}/library`, ada.name, [
    'opens the link, and sees her library:',
    ...listed,
  ]);
  const { video: remixed, clip } = await visit.remix(made.id, 'camera rotating clockwise');
  await narrator.elsewhere(
    `Browser · ${visit.origin}/library/${made.id}`,
    ada.name,
    [
      `presses [Remix] prompt:"${remixed.prompt}"`,
      `🎞 "${remixed.prompt}" · seed ${remixed.seed} · ${remixed.preset} · remixed from the video of Discord`,
    ],
    [clip],
  );

  narrator.scene('Delete everything that is kept about me');
  chat.sendsText('/privacy', { from: mei });
  const privacy = await telegram.until(() =>
    telegram.answers(chat).find(({ text }) => text.includes('Kinora 会')),
  );
  chat.presses(privacy, /全部删除/, { from: mei });
  await telegram.until(() => privacy.buttons.length === 2);
  chat.presses(privacy, /全部删除/, { from: mei });
  await telegram.until(() => privacy.text.includes('已删除'));
  await narrator.tell();

  /** The first result of a person in the channel. */
  async function own(name: string): Promise<DiscordMessage> {
    return await discord.until(() =>
      channel.visible.find(
        ({ origin, attachments }) => attachments.length > 0 && origin.interaction?.user.username === name,
      ),
    );
  }
}

/** Without the message whose button was pressed. */
function answersTo(asked: FakeInteraction): DiscordMessage[] {
  return asked.replies().filter((message) => message !== asked.asked.source);
}
