/** Telegram from the outside: the real bot with the real telegraf against a fake Bot API, with a real Redis. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { en } from '../../../src/bot/sentences/en.ts';
import { startFakeTelegram } from '../../fakes/telegram/server.ts';
import { photo, type TelegramWorld, telegramWorld } from '../../helpers/telegram-world.ts';

const fixture = (name: string) =>
  readFile(fileURLToPath(new URL(`../../fixtures/pictures/${name}`, import.meta.url)));

describe.concurrent('a photo in a private chat', () => {
  it('becomes a video in the one message that told how far it is', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    world.isHeld = true;
    const request = await chat.sendsPhoto(await photo(), 'waves rolling seed=7 preset=fast');
    const status = await fake.until(() => world.last(chat));
    await fake.until(() => status.text.includes('step 1/4'));
    expect(status.buttons.map(({ text }) => text)).toEqual(['Cancel']);
    world.isHeld = false;
    await fake.until(() => status.video);

    expect(fake.answers(chat)).toEqual([status]);
    expect(status.replyTo).toBe(request);
    const texts = status.history.map(({ body }) => body.text);
    expect(texts[0]).toBe('Looking at the picture…');
    expect(texts[1]).toMatch(/^Accepted\. Yours is next\.\nCosts 2 credits; 48 left today\./);
    expect(status.text).toMatch(/^"waves rolling" · seed 7 · fast · made in 4 s · 2 credits/);
    expect(status.video).toMatchObject({
      width: 64,
      height: 48,
      duration: 1,
      supportsStreaming: true,
      thumbnail: { width: 64, height: 48 },
    });
    expect(status.video?.file.name).toBe('kinora.mp4');
    expect(status.buttons.map(({ text }) => text)).toEqual([
      'Re-roll',
      'Remix',
      'Vary subtle',
      'Vary strong',
      'Extend',
      'Settings',
      'Smooth ×3',
      'Loop',
      'Delete',
    ]);
  });

  it('is cancelled by its button, and nothing else is posted', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    world.isHeld = true;
    await chat.sendsPhoto(await photo(), 'zoom in');
    const status = await fake.until(() => world.last(chat));
    await fake.until(() => status.text.includes('step'));
    const press = chat.presses(status, 'Cancel');
    await fake.until(() => status.text === 'Cancelled. Nothing was charged.');
    expect(press.answer).toMatchObject({ text: 'Stopping…', alert: false });
    expect(status.buttons).toEqual([]);
    chat.sendsText('/me');
    await fake.until(() => world.last(chat)?.text.startsWith('Credits: 0 of 50'));
    expect(fake.answers(chat)).toHaveLength(2);
  });

  it('is cancelled from /me, by /cancel as a reply, and by an admin', async (test) => {
    const early = await startFakeTelegram();
    const [ada, boss] = [early.user({ name: 'Ada' }), early.user({ name: 'Boss' })];
    const world = await telegramWorld(test, { adminUserIds: [boss.id] }, early);
    const group = early.group({ members: [ada, boss] });
    world.isHeld = true;
    const running = async (words: string) => {
      const before = early.answers(group).length;
      await group.sendsPhoto(await photo(), `/animate ${words}`, { from: ada });
      const status = await early.until(() => early.answers(group)[before]);
      await early.until(() => status.buttons.length === 1);
      return status;
    };
    const first = await running('pan left');
    group.sendsText('/me', { from: ada });
    const me = await early.until(() => early.answers(group).find(({ text }) => text.startsWith('Credits')));
    expect(me.text).toMatch(/• (waiting|running|accepted): pan left/);
    group.presses(me, 'Cancel: pan left', { from: ada });
    await early.until(() => first.text.startsWith('Cancelled'));
    const second = await running('pan right');
    group.repliesTo(second, '/cancel', { from: ada });
    await early.until(() => second.text.startsWith('Cancelled'));
    const third = await running('zoom in');
    group.repliesTo(third, '/cancel', { from: boss });
    await early.until(() => third.text.startsWith('Cancelled'));
  });

  it('is told to be ready after a long wait, since changed messages notify nobody', async (test) => {
    const world = await telegramWorld(test, { notifyAfterMs: 1 });
    const chat = world.fake.privateChat();
    const result = await world.animated(chat);
    await world.fake.until(() => world.last(chat)?.text === 'Your video is ready.');
    expect(world.last(chat)?.replyTo).toBe(result.replyTo);
  });

  it('speaks the language of its person', async (test) => {
    const world = await telegramWorld(test);
    const chat = world.fake.privateChat({ user: world.fake.user({ languageCode: 'zh-hans' }) });
    const result = await world.animated(chat);
    expect(result.history[0]?.body.text).toBe('正在看图…');
    expect(result.text).toContain('种子');
  });

  it('says how to ask to words without a picture', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    for (const text of ['hello', '/start', '/help', '/nonsense']) chat.sendsText(text);
    await fake.until(() => fake.answers(chat).length === 4);
    for (const { text } of fake.answers(chat)) expect(text).toMatch(/^Send a picture with a few words/);
    expect(world.runs).toEqual([]);
  });

  it('is refused with a sentence that says what to send instead', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    chat.sendsDocument(
      { name: 'IMG_1.HEIC', bytes: await fixture('photo.heic'), mimeType: 'image/heic' },
      'waves',
    );
    await fake.until(() => /HEIC.*JPEG/s.test(world.last(chat)?.text ?? ''));
    chat.sendsDocument(
      { name: 'big.png', bytes: new Uint8Array(20_500_000), mimeType: 'image/png' },
      'waves',
    );
    await fake.until(() => world.last(chat)?.text === 'The picture is too large; at most 20 MB.');
    await chat.sendsPhoto(await photo(), 'waves frames=900');
    await fake.until(() => world.last(chat)?.text.includes('from 1 to'));
    chat.sendsText('/animate waves');
    await fake.until(() => world.last(chat)?.text === en.refusal.noPicture);
    chat.sendsDocument({ name: 'paper.pdf', bytes: await fixture('paper.pdf') }, 'waves');
    chat.sendsOther({ animation: { file_id: 'gif' } });
    await fake.until(() => fake.answers(chat).length === 6);
    expect(fake.answers(chat).filter(({ text }) => text === en.refusal.noPicture)).toHaveLength(3);
    const file = fake.fail({ method: 'file', status: 404, times: 2 });
    await chat.sendsPhoto(await photo(), 'waves');
    await fake.until(() => world.last(chat)?.text === 'The picture could not be fetched. Send it again.');
    expect(file.hits).toBe(2);
    expect(world.runs).toEqual([]);
    expect(fake.answers(chat)).toHaveLength(7);
  });

  it('is fetched from the Bot API alone, without redirects', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    const elsewhere = {
      status: 302,
      body: new Uint8Array(),
      headers: { location: 'http://169.254.169.254/' },
    };
    fake.fail({ method: 'file', times: 2, ...elsewhere });
    await chat.sendsPhoto(await photo(), 'waves');
    await fake.until(() => world.last(chat)?.text === 'The picture could not be fetched. Send it again.');
  });

  it('may be an image that was sent as a file, or be replied to', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    chat.sendsDocument({ name: '"; x="/../../a.png', bytes: await fixture('plain.png') }, 'waves');
    await fake.until(() => world.videos(chat).length === 1);
    const silent = await chat.sendsPhoto(await photo());
    const words = chat.repliesTo(silent, 'zoom in');
    await fake.until(() => world.videos(chat).length === 2);
    expect(world.videos(chat)[1]?.replyTo).toBe(words);
    for (const { uploads } of fake.calls('editMessageMedia')) {
      expect(uploads.map(({ name }) => name).sort()).toEqual(['kinora.jpg', 'kinora.mp4']);
    }
  });
});

describe.concurrent('buttons', () => {
  it('re-roll, vary and remix keep what is not changed, also after a restart', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    const first = await world.animated(chat, 'waves rolling seed=7 preset=fast motion=low');
    await world.stopBot();
    await world.startBot();
    chat.presses(first, 'Re-roll');
    await fake.until(() => world.videos(chat).length === 2);
    chat.presses(first, 'Vary strong');
    await fake.until(() => world.videos(chat).length === 3);
    chat.presses(first, 'Remix');
    const question = await fake.until(() =>
      fake.answers(chat).find(({ text }) => /^Reply to this/.test(text)),
    );
    expect(question.text).toContain('waves rolling');
    await world.stopBot();
    await world.startBot();
    const words = chat.repliesTo(question, 'camera panning left motion=high');
    await fake.until(() => world.videos(chat).length === 4);

    const [original, rerolled, varied, remixed] = world.runs.map(({ request }) => request.generation);
    expect(world.runs.map(({ request }) => request.userName)).toEqual(Array(4).fill('Ada'));
    expect(rerolled).toMatchObject({ prompt: 'waves rolling', preset: 'fast', motion: 'low' });
    expect(rerolled?.seed).not.toBe(original?.seed);
    expect(varied?.variation).toMatchObject({ videoId: `v-${world.runs[0]?.id}` });
    expect(remixed).toMatchObject({ prompt: 'camera panning left', preset: 'fast', seed: 7, motion: 'high' });
    expect(world.videos(chat).map(({ replyTo }) => replyTo?.id)).toEqual([
      first.replyTo?.id,
      first.id,
      first.id,
      words.id,
    ]);
    for (const { data } of world
      .videos(chat)
      .flatMap(({ buttons }) => buttons.map((button) => ({ data: button.callback_data ?? '' })))) {
      expect(Buffer.byteLength(data)).toBeLessThanOrEqual(64);
    }
  });

  it('are not needed for a remix: a reply to the result does it, too', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    const result = await world.animated(chat, 'waves rolling seed=7');
    const words = chat.repliesTo(result, 'pan left');
    await fake.until(() => world.videos(chat)[1]?.replyTo === words);
    expect(world.runs[1]?.request.generation).toMatchObject({ prompt: 'pan left', seed: 7 });
    const [ada, bob] = [fake.user(), fake.user()];
    const group = fake.group({ members: [ada, bob] });
    await group.sendsPhoto(await photo(), '/animate waves seed=8', { from: ada });
    const shared = await fake.until(() => world.videos(group)[0]);
    group.repliesTo(shared, 'wow, nice!', { from: ada });
    group.repliesTo(shared, '/animate pan right', { from: bob });
    await fake.until(() => world.last(group)?.text.startsWith('Only the person'));
    group.repliesTo(shared, '/animate pan right', { from: ada });
    await fake.until(() => world.videos(group).length === 2);
    expect(world.runs.slice(2).map(({ request }) => request.generation.prompt)).toEqual([
      'waves',
      'pan right',
    ]);
  });

  it('show the settings, smooth, loop and delete', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    const result = await world.animated(chat, 'waves rolling seed=7');
    chat.presses(result, 'Settings');
    const settings = await fake.until(() => fake.answers(chat).find(({ text }) => /^Settings/.test(text)));
    expect(settings.text).toContain('/animate waves rolling preset=standard seed=7');
    expect(settings.activeText).toEqual([]);
    chat.presses(result, 'Loop');
    const loop = await fake.until(() => world.videos(chat)[1]);
    expect(loop).toMatchObject({ text: 'Plays forwards and back.', replyTo: result });
    expect(loop.video).toMatchObject({ width: 64, height: 48, supportsStreaming: true });
    expect(loop.video?.duration).toBe(2);
    chat.presses(result, 'Smooth ×3');
    await fake.until(() => world.videos(chat)[2]?.text === 'Smoothed: three times the frames.');
    chat.presses(result, 'Delete');
    await fake.until(() => result.deleted);
    expect(await world.artifacts.hasImage(world.runs[0]?.id ?? '')).toBe(false);
  });

  it('are refused to others, politely, but settings are for everybody', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const [ada, bob] = [fake.user(), fake.user({ name: 'Bob' })];
    const group = fake.group({ members: [ada, bob] });
    const picture = await group.sendsPhoto(await photo(), '', { from: ada });
    group.repliesTo(picture, '/animate zoom in', { from: ada });
    const result = await fake.until(() => world.videos(group)[0]);
    for (const button of ['Re-roll', 'Remix', 'Vary subtle', 'Smooth ×3', 'Loop', 'Delete']) {
      const press = group.presses(result, button, { from: bob });
      await fake.until(() => press.answer);
      expect(press.answer, button).toMatchObject({ alert: true });
      expect(press.answer?.text, button).toMatch(/^Only the person who asked/);
    }
    group.presses(result, 'Settings', { from: bob });
    await fake.until(() => fake.answers(group).length === 2);
    group.presses(result, 'Remix', { from: ada });
    const question = await fake.until(() => fake.answers(group)[2]);
    group.repliesTo(question, 'pan left', { from: bob });
    await fake.until(() => fake.answers(group)[3]?.text.startsWith('Only the person'));
    const forged = group.presses(result, 'delete:tg-nobody-1', { from: bob, forged: true });
    await fake.until(() => forged.answer?.text.startsWith('That video is no longer kept'));
    expect(world.runs).toHaveLength(1);
  });
});

describe.concurrent('groups', () => {
  it('take a caption, a reply and an album, each once, and stay in their topic', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const ada = fake.user();
    const group = fake.group({ members: [ada], forum: true });
    const picture = await group.sendsPhoto(await photo(), '/animate waves', { threadId: 5 });
    await fake.until(() => world.videos(group).length === 1);
    group.repliesTo(picture, '/animate@kinora_bot zoom in');
    await fake.until(() => world.videos(group).length === 2);
    const [first] = await group.sendsAlbum(
      [await photo(), await photo(), await photo()],
      '/animate pan left',
      {
        threadId: 5,
      },
    );
    await fake.until(() => world.videos(group).length === 3);
    group.repliesTo(picture, '/animate@other_bot zoom in');
    group.sendsText('nothing for the bot');
    group.sendsText('/queue');
    await fake.until(() => fake.answers(group).length === 4);
    expect(world.videos(group)[2]?.replyTo).toBe(first);
    expect(world.videos(group).map(({ placing }) => placing.threadId)).toEqual([5, 5, 5]);
    expect(world.runs.map(({ request }) => request.communityKey)).toEqual(
      Array(3).fill(`telegram:${group.id}`),
    );
  });

  it('know anonymous admins and channels by their chat, and trust none of them', async (test) => {
    const early = await startFakeTelegram();
    const [boss, mod, ada] = [early.user({ name: 'Boss' }), early.user({ name: 'Mod' }), early.user()];
    const world = await telegramWorld(test, { adminUserIds: [boss.id, 1_087_968_824] }, early);
    const group = early.group({ members: [ada], anonymousAdmins: [boss, mod] });
    group.sendsText('/pause@kinora_bot', { from: boss });
    await early.until(() => world.last(group)?.text === 'Only admins of this Kinora can do that.');
    await group.sendsPhoto(await photo(), '/animate waves', { from: boss });
    const result = await early.until(() => world.videos(group)[0]);
    expect(world.runs[0]?.request.userKey).toBe(`telegram:as${group.id}`);
    // Presses are never anonymous; who may be the group may press for it.
    group.presses(result, 'Re-roll', { from: mod });
    await early.until(() => world.videos(group).length === 2);
    expect(world.runs[1]?.request.userKey).toBe(`telegram:as${group.id}`);
    const press = group.presses(result, 'Re-roll', { from: ada });
    await early.until(() => press.answer?.alert);
    group.sendsText('/rules aschannel on', { from: mod });
    await early.until(() => world.last(group)?.text.includes('in the name of a channel: on'));
    await group.sendsPhoto(await photo(), '/animate zoom in', {
      asChannel: { id: -1_003_000_000_001, title: 'News' },
    });
    await early.until(() => world.videos(group).length === 3);
    expect(world.runs[2]?.request.userKey).toBe('telegram:as-1003000000001');
  });
});

describe.concurrent('rules of a group', () => {
  it('are made by its admins, also anonymously, and hold: words, presets, covers', async (test) => {
    const early = await startFakeTelegram();
    const [mod, ghost, ada] = [early.user({ name: 'Mod' }), early.user({ name: 'Ghost' }), early.user()];
    const world = await telegramWorld(test, {}, early);
    const group = early.group({ members: [ada], admins: [mod], anonymousAdmins: [ghost] });
    const said = async (text: string, from = mod): Promise<string> => {
      const before = early.answers(group).length;
      group.sendsText(text, { from });
      await early.until(() => early.answers(group).length > before);
      return world.last(group)?.text ?? '';
    };
    expect(await said('/rules spoiler on', ada)).toBe(en.rules.notModerator);
    expect(await said('/rules')).toMatch(/^Channels: all\n/);
    expect(await said('/rules words add gore "two words" /colou?r/')).toContain('Blocked words: 3');
    expect(await said('/rules spoiler on', ghost)).toContain('Videos as spoilers: on');
    expect(await said('/rules preset standard')).toContain('Highest preset: standard');
    // What would shut everybody out is not taken.
    expect(await said('/rules channels allow here')).toBe(en.rules.noChannels);
    expect(await said('/rules roles allow 5')).toBe(en.rules.noRoles);
    expect(await said('/rules age on')).toBe(en.rules.noAge);
    const result = await world.animated(group, '/animate waves rolling');
    expect(result.media?.spoiler).toBe(true);
    group.presses(result, 'Loop', { from: ada });
    await early.until(() => world.videos(group).length === 2);
    expect(world.videos(group)[1]?.media?.spoiler).toBe(true);
    for (const caption of [
      '/animate Colours everywhere',
      '/animate two  words',
      '/animate waves preset=high',
    ]) {
      const before = early.answers(group).length;
      await group.sendsPhoto(await photo(), caption);
      await early.until(() => /moderators/.test(early.answers(group)[before]?.text ?? ''));
    }
    expect(world.runs).toHaveLength(1);
    const menu = (user: typeof ada) => early.menu(group, user).map(({ command }) => command);
    await early.until(() => menu(mod).includes('rules'));
    expect(menu(ada)).not.toContain('rules');
  });

  it('allow topics where there are such', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const [mod, ada] = [fake.user({ name: 'Mod' }), fake.user()];
    const group = fake.group({ members: [ada], owner: mod, forum: true });
    group.sendsText('/rules channels allow here', { from: mod, threadId: 5 });
    await fake.until(() => world.last(group)?.text.includes('Channels: 5'));
    await group.sendsPhoto(await photo(), '/animate waves');
    await fake.until(() => world.last(group)?.text === en.rules.refused.channel);
    await group.sendsPhoto(await photo(), '/animate waves', { threadId: 5 });
    await fake.until(() => world.videos(group).length === 1);
  });
});

describe.concurrent('admins', () => {
  it('use their words once, even when the update comes twice; others may not', async (test) => {
    const early = await startFakeTelegram();
    const [boss, ada] = [early.user({ name: 'Boss' }), early.user()];
    const world = await telegramWorld(test, { adminUserIds: [boss.id] }, early);
    const group = early.group({ members: [ada, boss] });
    const hello = group.sendsText('/queue', { from: ada });
    group.repliesTo(hello, '/quota grant 10', { from: boss });
    await early.until(() => early.answers(group).length === 2);
    early.redeliver();
    await world.stopBot();
    early.redeliver();
    await world.startBot();
    group.sendsText('/me', { from: ada });
    await early.until(() => world.last(group)?.text.startsWith('Credits'));
    expect(world.last(group)?.text).toContain('0 of 50 used today, 10 extra');
    for (const word of ['quota grant 10', 'ban', 'pause', 'stats', 'audit', 'drain']) {
      const before = early.answers(group).length;
      group.repliesTo(hello, `/${word.replace(/^\w+/, '$&@kinora_bot')}`, { from: ada });
      await early.until(() => early.answers(group).length > before);
      expect(world.last(group)?.text, word).toBe('Only admins of this Kinora can do that.');
    }
    group.repliesTo(hello, '/ban', { from: boss });
    await early.until(() => world.last(group)?.text.includes('is banned for good'));
    await group.sendsPhoto(await photo(), '/animate waves', { from: ada });
    await early.until(() => world.last(group)?.text.startsWith('You cannot use Kinora'));
    expect(world.runs).toEqual([]);
    expect(early.calls(/^(getFile|file)$/)).toEqual([]);
  });

  it('ban, weigh and list by text, and find how in /help', async (test) => {
    const early = await startFakeTelegram();
    const [boss, ada] = [early.user({ name: 'Boss' }), early.user()];
    const world = await telegramWorld(test, { adminUserIds: [boss.id] }, early);
    const group = early.group({ members: [ada, boss] });
    const hello = group.sendsText('BUY MY COINS', { from: ada });
    const answer = async (send: () => unknown): Promise<string> => {
      const before = early.answers(group).length;
      send();
      await early.until(() => early.answers(group).length > before);
      return (world.last(group)?.text ?? '').replaceAll('\u2060', '');
    };
    const said = (text: string, from = boss) => answer(() => group.sendsText(text, { from }));
    const replied = (text: string) => answer(() => group.repliesTo(hello, text, { from: boss }));

    expect(await said('/bans')).toBe('Nobody is banned.');
    // A colon in the reason does not make a target of the hours.
    expect(await replied('/ban 24 see rule: 5')).toMatch(new RegExp(`^telegram:${ada.id} is banned until`));
    expect(await said('/bans')).toMatch(
      new RegExp(`^Banned: 1\n• telegram:${ada.id} · until .* UTC · telegram:${boss.id} .*: see rule: 5$`),
    );
    expect(await replied('/unban')).toContain('is not banned any more');
    expect(await replied('/weight set 2 a supporter')).toMatch(
      new RegExp(`^user:telegram:${ada.id}: weight 2\\. .* 2 times`),
    );
    expect(await said(`/weight set community:${group.id} 0.01`)).toMatch(/between 0\.1 and 10, not 0\.01/);
    expect(await said('/weight list')).toBe(`Weights: 1\n• user:telegram:${ada.id} · 2`);
    expect(await replied('/weight reset')).toBe('Done.');
    expect(await said('/weight list')).toBe(en.admin.noWeights);
    expect(await said('/weight@kinora_bot list', ada)).toBe(en.refusal.notAdmin);
    expect(await said('/help')).toMatch(/For admins: quota .* · weight .* · bans \[PAGE\]/);
    expect(await said('/help', ada)).not.toContain('For admins');
  });

  it('have their commands in their own menu; menus are sent only when they changed', async (test) => {
    const early = await startFakeTelegram();
    const boss = early.user();
    const ada = early.user({ languageCode: 'zh' });
    const [theirs, hers] = [
      early.privateChat({ user: boss, started: true }),
      early.privateChat({ user: ada }),
    ];
    const world = await telegramWorld(test, { adminUserIds: [boss.id] }, early);
    await early.until(() => early.menu(theirs, boss).some(({ command }) => command === 'ban'));
    expect(
      early
        .menu(theirs, boss)
        .slice(6)
        .map(({ command, description }) => [command, description]),
    ).toEqual(Object.entries(en.admin.commands));
    await early.until(() => early.menu(hers, ada)[0]?.description.includes('图片'));
    expect(early.menu(hers, ada).map(({ command }) => command)).toEqual([
      'animate',
      'queue',
      'me',
      'web',
      'privacy',
      'help',
    ]);
    await early.until(() => early.calls('setMyCommands').length === 8);
    await world.stopBot();
    const asked = early.calls('getMyCommands').length;
    await world.startBot();
    await early.until(() => early.calls('getMyCommands').length === asked + 8);
    expect(early.calls('setMyCommands')).toHaveLength(8);
  });
});

describe.concurrent('trouble with Telegram', () => {
  it('is survived while polling, and no message is lost or answered twice', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    let asked = 0;
    for (const status of [409, 502, 'reset', 'garbage', 429, 'after'] as const) {
      const fault = fake.fail({ method: 'getUpdates', status });
      chat.sendsText('/queue');
      asked++;
      await fake.until(() => fault.hits === 1 && fake.answers(chat).length === asked, 8_000);
    }
    await fake.goesDown();
    await fake.comesBack();
    chat.sendsText('/queue');
    await fake.until(() => fake.answers(chat).length === asked + 1, 8_000);
    await fake.until(() => fake.pendingUpdates === 0);
    expect(fake.answers(chat)).toHaveLength(asked + 1);
  });

  it('is survived at the start, too', async (test) => {
    const early = await startFakeTelegram();
    const chat = early.privateChat();
    await early.goesDown();
    const starting = telegramWorld(test, {}, early);
    setTimeout(() => void early.comesBack(), 400);
    await starting;
    chat.sendsText('/queue');
    await early.until(() => early.answers(chat).length === 1);
  });

  it('is survived while answering', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    for (const status of [502, 'reset', 429] as const) {
      const before = fake.answers(chat).length;
      fake.fail({ method: 'sendMessage', status, times: 2 });
      chat.sendsText('/me');
      await fake.until(() => fake.answers(chat).length === before + 1, 8_000);
    }
    fake.fail({ method: 'getFile', status: 502 });
    fake.fail({ method: 'editMessageText', status: 502 });
    await world.animated(chat);
    expect(fake.answers(chat)).toHaveLength(4);
  });

  it('ends with a clear word when the token is refused', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const fault = fake.fail({ method: 'getUpdates', status: 401, times: 1_000 });
    await fake.until(() => world.logged.includes('refuses the bot token'));
    const { hits } = fault;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(fault.hits - hits).toBeLessThanOrEqual(1);
  });

  it('and updates that come again make one job', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    await world.animated(chat);
    fake.redeliver();
    await world.stopBot();
    fake.redeliver();
    await world.startBot();
    chat.sendsText('/queue');
    await fake.until(() => fake.answers(chat).length === 2);
    expect(world.runs).toHaveLength(1);
    expect(world.last(chat)?.text).toBe('The queue is empty.');
  });

  it('and a hundred updates that come three times are served once each', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chats = Array.from({ length: 20 }, () => fake.privateChat({ user: fake.user() }));
    await world.stopBot();
    for (const chat of chats) {
      await chat.sendsPhoto(await photo(), 'waves');
      for (let n = 0; n < 4; n++) chat.sendsText('/queue');
    }
    await world.startBot();
    await fake.until(() => world.runs.length > 2);
    fake.redeliver();
    await world.stopBot();
    fake.redeliver();
    await world.startBot();
    await fake.until(() => chats.every((chat) => world.videos(chat).length === 1));
    await fake.until(() => chats.every((chat) => fake.answers(chat).length >= 5));
    expect(chats.map((chat) => fake.answers(chat).length)).toEqual(Array(20).fill(5));
    expect(world.runs).toHaveLength(20);
  });

  it('drops progress but never the result under a flood limit', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    world.isHeld = true;
    await chat.sendsPhoto(await photo(), 'waves');
    const status = await fake.until(() => world.last(chat));
    await fake.until(() => status.text.startsWith('Accepted') || status.text.includes('step'));
    const progress = fake.fail({ method: 'editMessageText', status: 429, retryAfter: 1, times: 100 });
    const result = fake.fail({ method: 'editMessageMedia', status: 429, retryAfter: 1, times: 2 });
    world.isHeld = false;
    await fake.until(() => status.video, 8_000);
    expect(result.hits).toBe(2);
    expect(progress.hits).toBeLessThanOrEqual(3);
    expect(fake.answers(chat)).toEqual([status]);
  });

  it.for(['after', 'reset', 502, 'garbage'] as const)(
    'posts a result once when its answer is %s',
    async (status, test) => {
      const world = await telegramWorld(test);
      const { fake } = world;
      const chat = fake.privateChat();
      const fault = fake.fail({ method: 'editMessageMedia', status });
      const result = await world.animated(chat);
      await fake.until(async () => (await settled(world)) && fault.hits === 1);
      expect(fake.answers(chat)).toEqual([result]);
      expect(world.runs).toHaveLength(1);
    },
  );

  it('replies to the request when the status message is gone', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    world.isHeld = true;
    const request = await chat.sendsPhoto(await photo(), 'waves');
    const status = await fake.until(() => world.last(chat));
    await fake.until(() => world.runs.length === 1 && status.edits > 0);
    chat.deletes(status);
    world.isHeld = false;
    const result = await fake.until(() => world.videos(chat)[0]);
    expect(result.replyTo).toBe(request);
    expect(result.video).toMatchObject({ width: 64, height: 48, thumbnail: { width: 64 } });
    expect(result.buttons).toHaveLength(9);
  });

  it('gives up at once, and the credits back, where the bot was blocked', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    world.isHeld = true;
    await chat.sendsPhoto(await photo(), 'waves');
    await fake.until(() => world.runs.length === 1);
    chat.removesBot();
    world.isHeld = false;
    await fake.until(() => settled(world));
    chat.admitsBot();
    chat.sendsText('/me');
    await fake.until(() => world.last(chat)?.text.startsWith('Credits: 0 of 50'));
  });

  it('says which right is missing', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    fake.fail({
      method: 'editMessageMedia',
      status: 400,
      description: 'Bad Request: not enough rights to send videos to the chat',
    });
    await chat.sendsPhoto(await photo(), 'waves');
    await fake.until(() => world.last(chat)?.text.startsWith('Kinora may not send videos here'));
  });

  it('sends a smaller clip where the first was too large, and says so', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    await world.useClip(256, 256, true);
    const chat = fake.privateChat();
    fake.fail({ method: 'editMessageMedia', status: 413 });
    const result = await world.animated(chat);
    expect(result.text).toContain('Compressed to fit the size limit here.');
    const [refused, taken] = fake
      .calls('editMessageMedia')
      .map(({ uploads }) => Math.max(...uploads.map(({ bytes }) => bytes.length)));
    expect(taken).toBeLessThanOrEqual((refused ?? 0) / 2);
  });
});

describe.concurrent('a dead Redis', () => {
  it('is called so in the message, nothing is charged, and later all goes on', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    const first = await world.animated(chat);
    world.redis.process.kill('SIGSTOP');
    try {
      await chat.sendsPhoto(await photo(), 'waves');
      await fake.until(() => world.last(chat)?.text.startsWith('The queue cannot be reached'));
      chat.sendsText('/me');
      await fake.until(() => fake.answers(chat).length === 3);
      expect(world.last(chat)?.text).toMatch(/^The queue cannot be reached/);
      const press = chat.presses(first, 'Re-roll');
      await fake.until(() => press.answer?.text.startsWith('The queue cannot be reached'));
    } finally {
      world.redis.process.kill('SIGCONT');
    }
    await fake.until(async () => (await world.redis.connect().zcard('{kinora}:pending')) === 0);
    chat.sendsText('/me');
    await fake.until(() => world.last(chat)?.text.startsWith('Credits: 2 of 50'));
    await fake.until(() => settled(world));
    await world.animated(chat);
  });
});

describe.concurrent('a job that cannot be read', () => {
  it('keeps its one status message when another picture of its album comes', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    world.isHeld = true;
    const [picture] = await chat.sendsAlbum([await photo(), await photo()], 'waves');
    const status = await fake.until(() => world.last(chat));
    await fake.until(() => status.text.includes('step'));
    const job = `{kinora}:job:${world.runs[0]?.id}`;
    const redis = world.redis.connect();
    const contract = (await redis.hget(job, 'contract')) ?? '';
    // Each read fails, as in an outage that comes and goes; the scripts between the reads find the job.
    await redis.hset(job, 'contract', '99');
    // People may give every picture its words.
    const { message_id: _, ...another } = { message_id: 0, ...picture?.toApi() };
    chat.sendsOther({ ...another, caption: 'waves' });
    chat.sendsText('/queue');
    await fake.until(() => world.last(chat)?.text.startsWith('Nothing waits'));
    expect(fake.answers(chat)).toEqual([status, world.last(chat)]);
    await redis.hset(job, 'contract', contract);
    world.isHeld = false;
    await fake.until(() => status.video);
  });

  it('keeps it when its own message comes again', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    world.isHeld = true;
    const accepting = fake.fail({ method: 'editMessageText', status: 'held' });
    await chat.sendsPhoto(await photo(), 'waves');
    await fake.until(() => accepting.hits === 1);
    const redis = world.redis.connect();
    const kept = await redis.hgetall('{kinora}:updates');
    accepting.release();
    const status = await fake.until(() => world.last(chat));
    await fake.until(() => status.text.includes('step'));
    await world.stopBot();
    // As after a crash before it was ticked off.
    await redis.multi().hset('{kinora}:updates', kept).del('{kinora}:updates:done').exec();
    await redis.hset(`{kinora}:job:${world.runs[0]?.id}`, 'contract', '99');
    await world.startBot();
    chat.sendsText('/queue');
    await fake.until(() => world.last(chat)?.text.startsWith('Nothing waits'));
    expect(fake.answers(chat)).toEqual([status, world.last(chat)]);
  });
});

describe.concurrent('a restart', () => {
  it('between generation and delivery loses nothing and makes nothing twice', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    const outage = fake.fail({ method: 'editMessageMedia', status: 'reset', times: 1_000 });
    await chat.sendsPhoto(await photo(), 'waves');
    await fake.until(() => outage.hits > 0);
    await world.stopBot();
    outage.lift();
    await world.startBot();
    await fake.until(() => world.videos(chat).length === 1);
    expect(fake.answers(chat)).toHaveLength(1);
    expect(world.runs).toHaveLength(1);
  });

  it('in the middle of a download takes the request up again, in the same message', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    const download = fake.fail({ method: 'file', status: 'hang' });
    await chat.sendsPhoto(await photo(), 'waves');
    await fake.until(() => download.hits === 1 && fake.pendingUpdates === 0);
    await world.stopBot();
    await world.startBot();
    await fake.until(() => world.videos(chat).length === 1);
    expect(fake.answers(chat)).toHaveLength(1);
  });
});

describe.concurrent('what people write', () => {
  it('is inert wherever it is shown', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const chat = fake.privateChat();
    const prompt = 'waves @durov /start #tag https://evil.com/x evil.com a@b.com <b>*x*</b> t.me/joinchat';
    world.isHeld = true;
    await chat.sendsPhoto(await photo(), prompt);
    await fake.until(() => world.runs.length === 1);
    chat.sendsText('/me');
    await fake.until(() => fake.answers(chat).length === 2);
    world.isHeld = false;
    const result = await fake.until(() => world.videos(chat)[0]);
    chat.presses(result, 'Settings');
    chat.presses(result, 'Remix');
    await fake.until(() => fake.answers(chat).length === 4);
    for (const message of fake.answers(chat)) expect(message.activeText, message.text).toEqual([]);
    expect(result.text).toContain('durov');
    expect(result.text).toContain('*x*');
    expect(world.logged).not.toContain('durov');
  });

  it('fits into a caption, with seed and cost kept', async (test) => {
    const world = await telegramWorld(test);
    const chat = world.fake.privateChat();
    const result = await world.animated(chat, `${'😀.a@'.repeat(120)} seed=7`);
    expect(result.text.length).toBeLessThanOrEqual(1024);
    expect(result.text).toMatch(/… ?"? · seed 7 · standard/);
    expect(result.text).not.toMatch(/[\ud800-\udbff](?![\udc00-\udfff])/);
  });
});

describe.concurrent('/privacy', () => {
  it('deletes everything, after it was asked twice', async (test) => {
    const world = await telegramWorld(test);
    const { fake } = world;
    const [ada, bob] = [fake.user(), fake.user()];
    const group = fake.group({ members: [ada, bob] });
    await group.sendsPhoto(await photo(), '/animate waves', { from: ada });
    const result = await fake.until(() => world.videos(group)[0]);
    await fake.until(() => settled(world));
    group.sendsText('/privacy', { from: ada });
    const notice = await fake.until(() => fake.answers(group)[1]);
    const foreign = group.presses(notice, 'Delete everything', { from: bob });
    await fake.until(() => foreign.answer?.alert);
    group.presses(notice, 'Delete everything', { from: ada });
    await fake.until(() => notice.buttons.length === 2);
    group.presses(notice, '✖️', { from: ada });
    await fake.until(() => notice.buttons.length === 1);
    expect(await world.artifacts.list()).toHaveLength(1);
    group.presses(notice, 'Delete everything', { from: ada });
    await fake.until(() => notice.buttons.length === 2);
    group.presses(notice, /⚠️/, { from: ada });
    await fake.until(() => notice.text.startsWith('Done: 1 job'));
    expect(notice.buttons).toEqual([]);
    expect(await world.artifacts.list()).toEqual([]);
    const press = group.presses(result, 'Re-roll', { from: ada });
    await fake.until(() => press.answer?.text.startsWith('That video is no longer kept'));
  });
});

/** Nothing waits for an answer any more. */
async function settled(world: TelegramWorld): Promise<boolean> {
  return world.runs.length > 0 && (await world.redis.connect().zcard('{kinora}:pending')) === 0;
}
