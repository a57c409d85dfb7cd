/**
 * The fake Telegram, proven with the real telegraf client: what a bot may do works, what Telegram refuses is refused
 * in its words, and every fault can be made to happen.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { Telegraf, type Telegram, TelegramError } from 'telegraf';
import { callbackQuery, message } from 'telegraf/filters';
import type { InlineKeyboardButton } from 'telegraf/types';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { encodeVideo } from '../../src/video/encode.ts';
import { findFfmpeg } from '../../src/video/ffmpeg-path.ts';
import { complaint, tellingComplaint } from './telegram/official.ts';
import { Params } from './telegram/params.ts';
import { type FakeTelegram, type FakeTelegramOptions, startFakeTelegram } from './telegram/server.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

let clip: Buffer;
let thumbnail: Buffer;
let landscape: Buffer;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fake-telegram-'));
  const outPath = join(folder, 'clip.mp4');
  const thumbnailPath = join(folder, 'clip.jpg');
  const { path: ffmpegPath } = await findFfmpeg();
  await encodeVideo(frames(), { width: 64, height: 48, fps: 8, outPath, thumbnailPath, ffmpegPath });
  clip = await readFile(outPath);
  thumbnail = await readFile(thumbnailPath);
  await rm(folder, { recursive: true });
  const background = { r: 200, g: 120, b: 40 };
  // Lies on its side: only the EXIF orientation says so.
  landscape = await sharp({ create: { width: 600, height: 900, channels: 3, background } })
    .withMetadata({ orientation: 6 })
    .jpeg()
    .toBuffer();
});

/** telegraf's own helper puts fields into buttons that Telegram does not have. */
const keyboardOf = (row: InlineKeyboardButton[]) => ({ reply_markup: { inline_keyboard: [row] } });

async function* frames() {
  for (let n = 0; n < 8; n += 1) yield { data: new Uint8Array(64 * 48 * 3).fill(n * 30) };
}

async function server(options?: FakeTelegramOptions): Promise<FakeTelegram> {
  const fake = await startFakeTelegram(options);
  closing.push(() => fake.stop());
  return fake;
}

/** Runs the bot until the test is over. */
async function launched(fake: FakeTelegram, set: (bot: Telegraf) => void): Promise<Telegraf> {
  const bot = new Telegraf(fake.token, { telegram: { apiRoot: fake.apiRoot } });
  set(bot);
  const ended = bot.launch();
  ended.catch(() => {});
  await fake.until(() => fake.calls('getUpdates').length > 0);
  closing.push(async () => {
    bot.stop();
    await ended.catch(() => {});
  });
  return bot;
}

function client(fake: FakeTelegram): Telegram {
  return new Telegraf(fake.token, { telegram: { apiRoot: fake.apiRoot } }).telegram;
}

/** A private chat in which the person has already written. */
function chatOf(fake: FakeTelegram) {
  return fake.privateChat({ user: fake.user({ name: 'Ada' }), started: true });
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'nothing was refused',
    (error: unknown) => {
      if (error instanceof TelegramError) return error.message;
      throw error;
    },
  );
}

describe('a conversation', () => {
  it('goes from a photo over edits to a video with buttons', async () => {
    const fake = await server();
    const bot = await launched(fake, (it) => {
      it.on(message('photo'), async (ctx) => {
        const largest = ctx.message.photo.at(-1);
        const link = await ctx.telegram.getFileLink(largest?.file_id ?? '');
        const bytes = Buffer.from(await (await fetch(link)).arrayBuffer());
        const { width, height, orientation } = await sharp(bytes).metadata();
        const reply = { reply_parameters: { message_id: ctx.message.message_id } };
        const status = await ctx.reply(`${ctx.message.caption}: ${width}×${height} ${orientation}`, reply);
        const at = [ctx.chat.id, status.message_id, undefined] as const;
        await ctx.telegram.editMessageText(
          ...at,
          'Step 3 of 10',
          keyboardOf([{ text: 'Cancel', callback_data: 'c:1' }]),
        );
        await ctx.telegram.editMessageMedia(
          ...at,
          {
            type: 'video',
            media: { source: clip, filename: 'kinora.mp4' },
            caption: 'Here it is',
            width: 64,
            height: 48,
            duration: 1,
            supports_streaming: true,
          },
          keyboardOf([{ text: 'Remix', callback_data: 'r:1' }]),
        );
      });
      it.on(callbackQuery('data'), (ctx) => ctx.answerCbQuery(`got ${ctx.callbackQuery.data}`));
    });
    expect(bot.botInfo?.username).toBe('kinora_bot');

    const chat = fake.privateChat({ user: fake.user({ name: 'Ada', languageCode: 'zh-hans' }) });
    const photo = await chat.sendsPhoto(landscape, '/animate waves');
    expect(photo.media?.sizes.map(({ width, height }) => [width, height])).toEqual([
      [90, 60],
      [320, 213],
      [800, 533],
      [900, 600],
    ]);
    const result = await fake.until(() => fake.answers(chat).find(({ video }) => video));

    expect(result.replyTo).toBe(photo);
    expect(result.history.map(({ body }) => body.text)).toEqual([
      '/animate waves: 900×600 undefined',
      'Step 3 of 10',
      'Here it is',
    ]);
    expect(result.history[1]?.keyboard).toEqual([[{ text: 'Cancel', callback_data: 'c:1' }]]);
    expect(result.video).toMatchObject({ width: 64, height: 48, duration: 1, supportsStreaming: true });
    expect(Buffer.from(result.video?.file.bytes ?? []).equals(clip)).toBe(true);

    const press = chat.presses(result, 'Remix');
    await fake.until(() => press.answer);
    expect(press.answer).toMatchObject({ text: 'got r:1', alert: false });
    expect(fake.transcript(chat)).toBe(
      [
        '── private chat with Ada ──',
        'Ada',
        `  🖼 photo · 900×600 · ${(photo.media?.file.bytes.byteLength ?? 0) / 1000} kB`.replace(
          /(\.\d)\d+/,
          '$1',
        ),
        '  /animate waves',
        'Kinora (replying to Ada, edited 2×)',
        `  🎞 kinora.mp4 · video/mp4 · 64×48 · 0:01 · ${(clip.byteLength / 1000).toFixed(1)} kB · streams`,
        '  Here it is',
        '  [Remix]',
        'Ada › presses [Remix]',
        '  💬 got r:1',
      ].join('\n'),
    );
  });

  it('takes a video with all its fields', async () => {
    const fake = await server();
    const chat = chatOf(fake);
    const sent = await client(fake).sendVideo(
      chat.id,
      { source: clip, filename: 'kinora.mp4' },
      {
        caption: 'hi',
        width: 64,
        height: 48,
        duration: 1,
        supports_streaming: true,
        has_spoiler: true,
        thumbnail: { source: thumbnail },
      },
    );
    expect(sent.video).toMatchObject({
      width: 64,
      height: 48,
      duration: 1,
      file_name: 'kinora.mp4',
      mime_type: 'video/mp4',
    });
    const [video] = fake.answers(chat);
    expect(video?.video).toMatchObject({
      spoiler: true,
      supportsStreaming: true,
      thumbnail: { width: 64, height: 48 },
    });
    expect(Buffer.from(video?.video?.thumbnail?.file.bytes ?? []).equals(thumbnail)).toBe(true);

    const again = await client(fake).sendVideo(chat.id, sent.video.file_id);
    expect(again.video).toMatchObject({ width: 64, duration: 1 });
    const noClip = await client(fake).sendVideo(chat.id, { source: landscape, filename: 'a.mp4' });
    expect(noClip).toHaveProperty('document');
  });

  it('puts a thumbnail into an edit only by a field of its own', async () => {
    const fake = await server();
    const chat = chatOf(fake);
    const telegram = client(fake);
    const status = await telegram.sendMessage(chat.id, 'Starting');
    const at = [chat.id, status.message_id, undefined] as const;
    const media = { type: 'video' as const, media: { source: clip }, thumbnail: { source: thumbnail } };
    expect(await refusal(telegram.editMessageMedia(...at, media))).toContain(
      `can't parse InputMedia: Field "thumbnail"`,
    );

    // Fields that the types of the client do not have pass through.
    const named = { ...media, thumbnail: 'attach://still' } as unknown as typeof media;
    const extra: object = { still: { source: thumbnail } };
    await telegram.editMessageMedia(...at, named, extra);
    expect(fake.messages(chat)[0]?.video?.thumbnail).toMatchObject({ width: 64, height: 48 });
  });
});

describe('what people send', () => {
  it('comes as photos, files, albums, replies, edits and others', async () => {
    const fake = await server();
    const chat = fake.privateChat({ user: fake.user({ name: 'Ada', languageCode: 'de' }) });
    const photo = await chat.sendsPhoto(landscape);
    chat.repliesTo(photo, '/animate slow waves');
    chat.sendsDocument({ name: 'cat.heic', bytes: new Uint8Array([1, 2, 3]) }, 'a file');
    await chat.sendsAlbum([landscape, landscape], 'album');
    chat.edits(photo, 'now with a caption');
    chat.sendsOther({ sticker: { file_id: 'x' } });
    const updates = await client(fake).getUpdates(0, 100, 0, undefined);

    expect(updates).toMatchObject([
      { message: { photo: [{ width: 90 }, {}, {}, { width: 900 }], from: { language_code: 'de' } } },
      {
        message: {
          text: '/animate slow waves',
          entities: [{ type: 'bot_command', offset: 0, length: 8 }],
          reply_to_message: { photo: [{}, {}, {}, {}] },
        },
      },
      {
        message: {
          document: { file_name: 'cat.heic', mime_type: 'image/heic', file_size: 3 },
          caption: 'a file',
        },
      },
      { message: { caption: 'album', media_group_id: expect.any(String) } },
      { message: { media_group_id: expect.any(String) } },
      { edited_message: { caption: 'now with a caption' } },
      { message: { sticker: { file_id: 'x' } } },
    ]);
    expect(updates[4]).not.toHaveProperty('message.caption');
    await expect(chat.sendsPhoto(new Uint8Array([1, 2, 3]))).rejects.toThrow('unsupported image format');
  });

  it('reaches a bot with privacy mode only as commands and replies to it', async () => {
    const fake = await server();
    const [ada, bob, eve] = ['Ada', 'Bob', 'Eve'].map((name) => fake.user({ name }));
    if (!ada || !bob || !eve) throw new Error('three people');
    const group = fake.group({ members: [ada], admins: [bob], anonymousAdmins: [eve] });
    const telegram = client(fake);
    const { message_id: id } = await telegram.sendMessage(group.id, 'hello');
    const hello = group.find(id);
    group.sendsText('just chatting');
    await group.sendsPhoto(landscape, 'no command');
    group.sendsText('/animate@other_bot x');
    group.sendsText('/queue@Kinora_Bot');
    await group.sendsPhoto(landscape, '/animate', { from: bob });
    if (hello) group.repliesTo(hello, 'nice', { from: eve });
    group.sendsText('/ban 5', { asChannel: { id: -100_555, title: 'News' } });
    const updates = await telegram.getUpdates(0, 100, 0, undefined);
    expect(updates).toMatchObject([
      { message: { text: '/queue@Kinora_Bot', from: { first_name: 'Ada' }, chat: { type: 'supergroup' } } },
      { message: { caption: '/animate', from: { first_name: 'Bob' } } },
      { message: { text: 'nice', from: { id: 1087968824, is_bot: true }, sender_chat: { id: group.id } } },
      { message: { text: '/ban 5', from: { username: 'Channel_Bot' }, sender_chat: { id: -100_555 } } },
    ]);
    expect(await telegram.getChatMember(group.id, bob.id)).toMatchObject({ status: 'administrator' });
    expect(await telegram.getChatAdministrators(group.id)).toHaveLength(2);
    expect(await refusal(telegram.getChatMember(group.id, 1087968824))).toContain('PARTICIPANT_ID_INVALID');
  });

  it('in a topic comes as a reply to the message that opened it, unless it is another reply', async () => {
    const fake = await server();
    const [eve, ada] = [fake.user({ name: 'Eve' }), fake.user({ name: 'Ada' })];
    const forum = fake.group({ members: [ada], owner: eve, forum: true });
    const telegram = client(fake);
    const root = forum.opensTopic('Cats', eve);
    const asked = forum.sendsText('/ban 24', { from: ada, threadId: root.id });
    forum.repliesTo(asked, '/unban', { from: ada });
    forum.sendsText('/bans', { from: ada, threadId: 99 });
    forum.sendsText('/stats', { from: ada });
    const rootId = root.id;
    const topic = (id: number) => ({ message_thread_id: id, is_topic_message: true });
    const updates = await telegram.getUpdates(0, 100, 0, undefined);
    expect(updates).toMatchObject([
      { message: { message_id: rootId, forum_topic_created: { name: 'Cats' }, ...topic(rootId) } },
      {
        message: {
          text: '/ban 24',
          ...topic(rootId),
          reply_to_message: {
            message_id: rootId,
            from: { id: eve.id },
            forum_topic_created: { name: 'Cats' },
            ...topic(rootId),
          },
        },
      },
      { message: { text: '/unban', ...topic(rootId), reply_to_message: { message_id: asked.id } } },
      {
        message: { text: '/bans', ...topic(99), reply_to_message: { message_id: 99, from: { id: eve.id } } },
      },
      { message: { text: '/stats' } },
    ]);
    expect(updates[4]).not.toHaveProperty('message.reply_to_message');
    const sent = await telegram.sendMessage(forum.id, 'hi', { message_thread_id: rootId });
    expect(sent).toMatchObject({ ...topic(rootId), reply_to_message: { message_id: rootId } });
  });

  it('in a group without topics belongs to the thread of its replies', async () => {
    const fake = await server({ readsAllGroupMessages: true });
    const group = fake.group({ members: [fake.user()] });
    const news = { id: -1_003_000_000_001, title: 'News' };
    const post = await group.sendsPhoto(landscape, 'Sale!', { postOf: news });
    const comment = group.repliesTo(post, 'nice');
    group.repliesTo(comment, 'very');
    const updates = await client(fake).getUpdates(0, 100, 0, undefined);
    expect(updates).toMatchObject([
      {
        message: {
          from: { id: 777_000, is_bot: false },
          sender_chat: { id: news.id, type: 'channel' },
          is_automatic_forward: true,
          forward_origin: { type: 'channel', chat: { id: news.id } },
        },
      },
      { message: { message_thread_id: post.id, reply_to_message: { is_automatic_forward: true } } },
      { message: { message_thread_id: post.id, reply_to_message: { message_id: comment.id } } },
    ]);
    for (const update of updates) expect(update).not.toHaveProperty('message.is_topic_message');
  });

  it('may be a sticker, forwarded, or a reply to a message of another chat', async () => {
    const fake = await server({ readsAllGroupMessages: true });
    const [here, there] = [fake.group({ members: [fake.user()] }), fake.group({ members: [fake.user()] })];
    const photo = await there.sendsPhoto(landscape, 'mine', { spoiler: true });
    here.sendsText('/animate', { externalReplyTo: photo });
    here.sendsSticker(landscape, 'video');
    here.sendsText('Sale!', { forwarded: true });
    const [, reply, sticker, forward] = await client(fake).getUpdates(0, 100, 0, undefined);
    expect(reply).toMatchObject({
      message: {
        text: '/animate',
        external_reply: {
          origin: { type: 'user' },
          chat: { id: there.id },
          message_id: photo.id,
          photo: [{}, {}, {}, {}],
          has_media_spoiler: true,
        },
      },
    });
    expect(reply).not.toHaveProperty('message.reply_to_message');
    expect(reply).not.toHaveProperty('message.external_reply.caption');
    expect(sticker).toMatchObject({ message: { sticker: { is_video: true, is_animated: false } } });
    expect(forward).toMatchObject({ message: { text: 'Sale!', forward_origin: { type: 'hidden_user' } } });
  });

  it('may call people without a user name', async () => {
    const fake = await server();
    const ada = fake.user({ name: 'Ada L' });
    fake.privateChat().sendsText('/ban Ada L 24', { mentions: [ada] });
    const [update] = await client(fake).getUpdates(0, 100, 0, undefined);
    expect(update).toMatchObject({
      message: { entities: [{}, { type: 'text_mention', offset: 5, length: 5, user: { id: ada.id } }] },
    });
  });

  it('makes what looks active in plain text active, except in code', async () => {
    const fake = await server();
    const chat = chatOf(fake);
    const text = 'See @someone, https://evil.example/x and #tag';
    await client(fake).sendMessage(chat.id, text);
    await client(fake).sendMessage(chat.id, text, {
      entities: [{ type: 'code', offset: 0, length: text.length }],
    });
    await client(fake).sendMessage(chat.id, '<b>bold</b> &lt;@someone', { parse_mode: 'HTML' });
    const [plain, code, html] = fake.messages(chat);
    expect(plain?.activeText.map((active) => active.text)).toEqual([
      '@someone',
      'https://evil.example/x',
      '#tag',
    ]);
    expect(code?.activeText).toEqual([]);
    expect(html?.text).toBe('bold <@someone');
    expect(html?.entities).toMatchObject([{ type: 'bold', offset: 0, length: 4 }, { type: 'mention' }]);
  });
});

describe('refusals', () => {
  it('of texts, captions and formatting', async () => {
    const fake = await server();
    const { id } = chatOf(fake);
    const telegram = client(fake);
    const send = (text: string, extra = {}) => refusal(telegram.sendMessage(id, text, extra));
    const html = { parse_mode: 'HTML' };
    expect(await send('a'.repeat(4097))).toBe('400: Bad Request: message is too long');
    expect(await send(' \n ')).toBe('400: Bad Request: message text is empty');
    expect(await send('<x>', html)).toBe(
      `400: Bad Request: can't parse entities: Unsupported start tag "x" at byte offset 0`,
    );
    expect(await send('é<b>a</i>', html)).toContain(
      'Unmatched end tag at byte offset 6, expected "</b>", found "</i>"',
    );
    expect(await send('<b>a', html)).toContain(`Can't find end tag corresponding to start tag "b"`);
    expect(await send('a', { parse_mode: 'LaTeX' })).toBe('400: Bad Request: unsupported parse_mode');
    const caption = 'a'.repeat(1025);
    expect(await refusal(telegram.sendVideo(id, { source: clip }, { caption }))).toContain(
      'caption is too long',
    );
    expect(await refusal(telegram.sendMessage(4711, 'a'))).toBe('400: Bad Request: chat not found');
  });

  it('of buttons and replies', async () => {
    const fake = await server();
    const chat = chatOf(fake);
    const telegram = client(fake);
    const send = (extra: object) => refusal(telegram.sendMessage(chat.id, 'a', extra));
    const inline = (button: object) => ({ reply_markup: { inline_keyboard: [[button]] } });
    expect(await send(inline({ text: 'a', callback_data: '🎬'.repeat(17) }))).toContain(
      'BUTTON_DATA_INVALID',
    );
    expect(await send(inline({ text: 'a' }))).toContain('Text buttons are unallowed');
    expect(await send(inline({ text: 'a', url: 'localhost' }))).toContain('Wrong HTTP URL');
    const asked = chat.sendsText('go');
    chat.deletes(asked);
    const reply = { message_id: asked.id };
    expect(await send({ reply_parameters: reply })).toBe('400: Bad Request: message to be replied not found');
    await telegram.sendMessage(chat.id, 'a', {
      reply_parameters: { ...reply, allow_sending_without_reply: true },
    });
    expect(fake.answers(chat)).toHaveLength(1);
  });

  it('of edits and deletions', async () => {
    const fake = await server();
    const chat = chatOf(fake);
    const telegram = client(fake);
    const keyboard = keyboardOf([{ text: 'Cancel', callback_data: 'c' }]);
    const { message_id: id } = await telegram.sendMessage(chat.id, 'a', keyboard);
    const edit = (text: string, extra = {}) =>
      refusal(telegram.editMessageText(chat.id, id, undefined, text, extra));
    expect(await edit(' a ', keyboard)).toMatch(/^400: Bad Request: message is not modified: /);
    expect(await edit('a')).toBe('nothing was refused');
    expect(fake.messages(chat)[0]?.buttons).toEqual([]);
    expect(await refusal(telegram.editMessageCaption(chat.id, id, undefined, 'b'))).toContain(
      'no caption in the message',
    );
    const theirs = chat.sendsText('mine').id;
    expect(await refusal(telegram.editMessageText(chat.id, theirs, undefined, 'b'))).toContain(
      "message can't be edited",
    );
    await telegram.editMessageMedia(chat.id, id, undefined, { type: 'video', media: { source: clip } });
    expect(await edit('b')).toBe('400: Bad Request: there is no text in the message to edit');
    await telegram.deleteMessage(chat.id, id);
    expect(await edit('b')).toBe('400: Bad Request: message to edit not found');
    expect(await refusal(telegram.deleteMessage(chat.id, id))).toContain('message to delete not found');
    const group = fake.group({ members: [fake.user()] });
    const others = group.sendsText('/hello').id;
    expect(await refusal(telegram.deleteMessage(group.id, others))).toContain("message can't be deleted");
  });

  it('of files that are too large, paths that expired and wrong tokens', async () => {
    const fake = await server();
    const chat = chatOf(fake);
    const telegram = client(fake);
    const large = chat.sendsDocument({ name: 'large.png', bytes: new Uint8Array(20 * 1024 * 1024 + 1) });
    const idOf = (sent: typeof large) => sent.media?.file.id ?? '';
    expect(await refusal(telegram.getFile(idOf(large)))).toBe('400: Bad Request: file is too big');
    expect(await refusal(telegram.sendVideo(chat.id, { source: Buffer.alloc(50 * 1024 * 1024 + 1) }))).toBe(
      '413: Request Entity Too Large',
    );
    expect(await refusal(telegram.sendVideo(chat.id, { source: Buffer.alloc(52_000_000, 1) }))).toBe(
      'nothing was refused',
    );
    const small = chat.sendsDocument({ name: 'small.png', bytes: new Uint8Array([1, 2, 3]) });
    const link = await telegram.getFileLink(idOf(small));
    expect(link.pathname).toMatch(/^\/file\/bot\d+:[\w-]+\/documents\/file_1\.png$/);
    expect(new Uint8Array(await (await fetch(link)).arrayBuffer())).toEqual(new Uint8Array([1, 2, 3]));
    expect((await fetch(link.href.replace(fake.token, `${fake.token}x`))).status).toBe(404);
    fake.expireFileLinks();
    expect((await fetch(link)).status).toBe(404);
    const other = (token: string) =>
      refusal(new Telegraf(token, { telegram: { apiRoot: fake.apiRoot } }).telegram.getMe());
    expect(await other(fake.token.replace(/.$/, '!'))).toBe('404: Not Found');
    expect(await other(`${fake.token}x`)).toBe('401: Unauthorized');
  });

  it('of late answers to buttons, and by people who shut the bot out', async () => {
    const fake = await server();
    const chat = fake.privateChat();
    const telegram = client(fake);
    const keyboard = keyboardOf([{ text: 'Go', callback_data: 'g' }]);
    expect(await refusal(telegram.sendMessage(chat.id, 'a'))).toBe(
      "403: Forbidden: bot can't initiate conversation with a user",
    );
    chat.sendsText('/start');
    await telegram.sendMessage(chat.id, 'a', keyboard);
    const [sent] = fake.answers(chat);
    if (!sent) throw new Error('nothing was sent');
    const press = chat.presses(sent, 'g');
    fake.expirePresses();
    const tooOld = '400: Bad Request: query is too old and response timeout expired or query ID is invalid';
    expect(await refusal(telegram.answerCbQuery(press.id))).toBe(tooOld);
    expect(() => chat.presses(sent, 'other')).toThrow('No button other');
    expect(chat.presses(sent, 'other', { forged: true }).data).toBe('other');
    chat.deletes(sent);
    chat.presses(sent, 'g', { forged: true });
    const [update] = await telegram.getUpdates(0, 1, -1, undefined);
    expect(update).toMatchObject({
      callback_query: { data: 'g', message: { message_id: sent.id, date: 0 } },
    });
    chat.removesBot();
    expect(await refusal(telegram.sendMessage(chat.id, 'a'))).toBe(
      '403: Forbidden: bot was blocked by the user',
    );
    const group = fake.group({ members: [fake.user()] });
    group.mutesBot();
    expect(await refusal(telegram.sendMessage(group.id, 'a'))).toContain('not enough rights');
    group.removesBot();
    expect(await refusal(telegram.sendMessage(group.id, 'a'))).toContain('bot was kicked');
    expect(fake.transcript(chat)).toContain('presses [Go]\n  ⏳ no answer');
  });

  it('of topics that are closed or gone', async () => {
    const fake = await server();
    const forum = fake.group({ members: [fake.user()], forum: true });
    const telegram = client(fake);
    const send = (topic: number) => telegram.sendMessage(forum.id, 'hi', { message_thread_id: topic });
    const asked = forum.sendsText('/animate', { threadId: 5 });
    await send(5);
    expect(await refusal(send(1))).toBe('400: Bad Request: message thread not found');
    forum.closesTopic(5);
    expect(await refusal(send(5))).toBe('400: Bad Request: TOPIC_CLOSED');
    const reply = { reply_parameters: { message_id: asked.id } };
    expect(await refusal(telegram.sendMessage(forum.id, 'hi', reply))).toBe('400: Bad Request: TOPIC_CLOSED');
    forum.admitsBot('administrator');
    await send(5);
    forum.deletesTopic(5);
    expect(await refusal(send(5))).toBe('400: Bad Request: message thread not found');
    expect(fake.answers(forum)).toEqual([]);
    await telegram.sendMessage(forum.id, 'hi');
  });

  it('of a group that became a supergroup, with its new id', async () => {
    const fake = await server();
    const old = fake.group({ members: [fake.user()], basic: true });
    const telegram = client(fake);
    const fresh = old.becomesSupergroup();
    expect(await telegram.getUpdates(0, 100, 0, undefined)).toMatchObject([
      { message: { chat: { id: old.id, type: 'group' }, migrate_to_chat_id: fresh.id } },
      {
        message: {
          chat: { id: fresh.id, type: 'supergroup' },
          sender_chat: { id: fresh.id },
          migrate_from_chat_id: old.id,
        },
      },
    ]);
    const refused = await telegram.sendMessage(old.id, 'hi').catch((error: unknown) => error);
    expect(refused).toMatchObject({
      description: 'Bad Request: group chat was upgraded to a supergroup chat',
      parameters: { migrate_to_chat_id: fresh.id },
    });
    await telegram.sendMessage(fresh.id, 'hi');
  });

  it('of commands, reactions and chat actions', async () => {
    const fake = await server();
    const user = fake.user({ languageCode: 'zh-hans' });
    const chat = fake.privateChat({ user, started: true });
    const telegram = client(fake);
    const menu = (description: string) => [{ command: 'animate', description }];
    await telegram.setMyCommands(menu('Animate'));
    await telegram.setMyCommands(menu('动画'), { language_code: 'zh' });
    const mine = { scope: { type: 'chat' as const, chat_id: chat.id } };
    expect(fake.menu(chat, user)).toEqual(menu('动画'));
    await telegram.setMyCommands(menu('Mine'), mine);
    expect(fake.menu(chat, user)).toEqual(menu('Mine'));
    expect(fake.menu(fake.group({ members: [user] }), user)).toEqual(menu('动画'));
    expect(await telegram.getMyCommands(mine)).toEqual(menu('Mine'));
    expect(await telegram.getMyCommands()).toEqual(menu('Animate'));
    expect(await refusal(telegram.setMyCommands(menu('x'), { language_code: 'zh-CN' }))).toContain(
      'language code',
    );
    expect(await refusal(telegram.setMyCommands([{ command: 'Animate', description: 'x' }]))).toContain(
      'COMMAND_INVALID',
    );
    const asked = chat.sendsText('hi');
    await telegram.setMessageReaction(chat.id, asked.id, [{ type: 'emoji', emoji: '👀' }]);
    expect(asked.reactions).toEqual(['👀']);
    const odd = { type: 'emoji' as const, emoji: '🎬' };
    // The client's types know which emoji are allowed; this one is not.
    expect(
      await refusal(
        telegram.setMessageReaction(chat.id, asked.id, [odd as unknown as { type: 'emoji'; emoji: '👀' }]),
      ),
    ).toContain('REACTION_INVALID');
    await telegram.sendChatAction(chat.id, 'upload_video');
    expect(fake.calls('sendChatAction', chat)).toMatchObject([
      { status: 200, params: { action: 'upload_video' } },
    ]);
  });
});

describe('updates', () => {
  it('come again until a higher offset confirms them, and wait for those who poll', async () => {
    const fake = await server();
    const chat = chatOf(fake);
    const telegram = client(fake);
    for (const text of ['1', '2', '3']) chat.sendsText(text);
    const first = await telegram.getUpdates(0, 2, 0, undefined);
    const again = await telegram.getUpdates(0, 2, 0, undefined);
    expect(again).toEqual(first);
    expect(fake.pendingUpdates).toBe(3);
    const rest = await telegram.getUpdates(0, 100, (first[1]?.update_id ?? 0) + 1, undefined);
    expect(rest).toMatchObject([{ message: { text: '3' } }]);
    expect(fake.pendingUpdates).toBe(1);
    const poll = telegram.getUpdates(20, 100, (rest[0]?.update_id ?? 0) + 1, ['callback_query']);
    await fake.until(() => fake.calls('getUpdates').length === 4);
    chat.sendsText('not asked for');
    const { message_id: id } = await telegram.sendMessage(
      chat.id,
      'a',
      keyboardOf([{ text: 'Go', callback_data: 'g' }]),
    );
    const sent = chat.find(id);
    if (sent) chat.presses(sent, 'Go');
    expect(await poll).toMatchObject([
      { callback_query: { data: 'g', message: { text: 'a' }, from: { first_name: 'Ada' } } },
    ]);
    expect(await telegram.getUpdates(0, 100, -1, undefined)).toHaveLength(1);
  });

  it('come twice when asked for', async () => {
    const fake = await server();
    const chat = chatOf(fake);
    const seen: number[] = [];
    await launched(fake, (bot) => bot.on('message', (ctx) => void seen.push(ctx.update.update_id)));
    for (const text of ['1', '2', '3']) chat.sendsText(text);
    await fake.until(() => seen.length === 3 && fake.pendingUpdates === 0);
    fake.redeliver();
    await fake.until(() => seen.length === 6);
    expect(seen.slice(3)).toEqual(seen.slice(0, 3));
    chat.sendsText('4');
    await fake.until(() => seen.length === 7);
  });

  it('go to one poller: the older one gets a 409', async () => {
    const fake = await server();
    const telegram = client(fake);
    const older = refusal(telegram.getUpdates(20, 100, 0, undefined));
    await fake.until(() => fake.calls('getUpdates').length === 1);
    const newer = telegram.getUpdates(20, 100, 0, undefined);
    expect(await older).toMatch(/^409: Conflict: terminated by other getUpdates request/);
    expect(await telegram.getUpdates(0, 100, 0, undefined)).toEqual([]);
    chatOf(fake).sendsText('hi');
    expect(await newer).toHaveLength(1);
    await telegram.setWebhook('https://example.org/hook');
    expect(await refusal(telegram.getUpdates(0, 100, 0, undefined))).toContain('while webhook is active');
    await telegram.deleteWebhook({ drop_pending_updates: true });
    expect(await telegram.getUpdates(0, 100, 0, undefined)).toEqual([]);
  });

  it('end with a 409 for a bot that runs already, and its launch rejects', async () => {
    const fake = await server();
    const bot = new Telegraf(fake.token, { telegram: { apiRoot: fake.apiRoot } });
    const ended = refusal(bot.launch());
    await fake.until(() => fake.calls('getUpdates').length === 1);
    const fault = fake.fail({ method: 'getUpdates', status: 409 });
    expect(await ended).toContain('409: Conflict');
    expect(fault.hits).toBe(1);
  });
});

describe('trouble on order', () => {
  it('answers with errors: 429 with its wait, 5xx, and done all the same', async () => {
    const fake = await server();
    const chat = chatOf(fake);
    const telegram = client(fake);
    const fault = fake.fail({ method: 'sendMessage', status: 429, retryAfter: 30, afterCalls: 1, times: 2 });
    await telegram.sendMessage(chat.id, 'one');
    for (let n = 0; n < 2; n += 1) {
      const error = await telegram.sendMessage(chat.id, 'two').catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 429, parameters: { retry_after: 30 } });
    }
    await telegram.sendMessage(chat.id, 'three');
    fake.fail({ method: /^send/, chatId: chat.id, status: 502, applied: true });
    expect(await refusal(telegram.sendMessage(chat.id, 'four'))).toBe('502: Bad Gateway');
    expect(fake.messages(chat).map(({ text }) => text)).toEqual(['one', 'three', 'four']);
    expect(fault.hits).toBe(2);
    expect(fake.calls('sendMessage').map(({ status }) => status)).toEqual([200, 429, 429, 200, 502]);
  });

  it('cuts connections before or after the deed, hangs, stalls, and talks garbage', async () => {
    const fake = await server();
    const chat = chatOf(fake);
    const telegram = client(fake);
    fake.fail({ method: 'sendMessage', status: 'reset' });
    await expect(telegram.sendMessage(chat.id, 'reset')).rejects.toThrow('ECONNRESET');
    expect(fake.messages(chat)).toHaveLength(0);
    fake.fail({ method: 'sendVideo', status: 'after' });
    await expect(telegram.sendVideo(chat.id, { source: clip })).rejects.toThrow('ECONNRESET');
    expect(fake.messages(chat)[0]?.video?.file.bytes.byteLength).toBe(clip.byteLength);
    fake.fail({ method: 'getMe', status: 'garbage' });
    await expect(telegram.getMe()).rejects.toThrow('invalid json');

    const file = chat.sendsDocument({ name: 'a.png', bytes: new Uint8Array(1000) });
    const link = await telegram.getFileLink(file.media?.file.id ?? '');
    for (const status of ['hang', 'stall'] as const) {
      fake.fail({ method: 'file', status });
      const download = fetch(link, { signal: AbortSignal.timeout(100) }).then((response) =>
        response.arrayBuffer(),
      );
      await expect(download).rejects.toThrow('timeout');
    }
    fake.fail({ method: 'file', status: 200, body: new Uint8Array(3000) });
    expect((await (await fetch(link)).arrayBuffer()).byteLength).toBe(3000);
    fake.fail({ method: 'file', status: 302, headers: { location: 'http://169.254.169.254/' } });
    await expect(fetch(link, { redirect: 'error' })).rejects.toThrow();
  });

  it('holds an answer back until it is released', async () => {
    const fake = await server();
    const chat = chatOf(fake);
    const fault = fake.fail({ method: 'sendVideo', status: 'held' });
    let answered = false;
    const sending = client(fake)
      .sendVideo(chat.id, { source: clip })
      .finally(() => {
        answered = true;
      });
    await fake.until(() => fake.messages(chat).length === 1);
    expect(answered).toBe(false);
    fault.release();
    expect(await sending).toHaveProperty('video');
  });

  it('limits the messages and edits of a chat', async () => {
    const fake = await server();
    const group = fake.group({ members: [fake.user()] });
    const telegram = client(fake);
    fake.limit({ requests: 2, perMs: 60_000 });
    const { message_id: id } = await telegram.sendMessage(group.id, 'a');
    await telegram.sendChatAction(group.id, 'typing');
    await telegram.editMessageText(group.id, id, undefined, 'b');
    expect(await refusal(telegram.editMessageText(group.id, id, undefined, 'c'))).toBe(
      '429: Too Many Requests: retry after 60',
    );
    await telegram.sendMessage(chatOf(fake).id, 'another chat');
  });

  it('keeps a bot polling through a 429', async () => {
    const fake = await server();
    const seen: string[] = [];
    await launched(fake, (bot) => bot.on(message('text'), (ctx) => void seen.push(ctx.message.text)));
    const fault = fake.fail({ method: 'getUpdates', status: 429, retryAfter: 0.05, times: 2 });
    chatOf(fake).sendsText('during the trouble');
    await fake.until(() => seen.length === 1 && fault.hits === 2);
    expect(seen).toEqual(['during the trouble']);
  });

  it('goes away and comes back with what was sent meanwhile', async () => {
    const fake = await server();
    const chat = chatOf(fake);
    const telegram = client(fake);
    const poll = telegram.getUpdates(20, 100, 0, undefined);
    await fake.until(() => fake.calls('getUpdates').length === 1);
    const cutOff = expect(poll).rejects.toThrow('socket hang up');
    await fake.goesDown();
    await cutOff;
    await expect(telegram.getMe()).rejects.toThrow('ECONNREFUSED');
    chat.sendsText('while it was away');
    await fake.comesBack();
    const updates = await telegram.getUpdates(0, 100, 0, undefined);
    expect(updates).toMatchObject([{ message: { text: 'while it was away' } }]);
  });
});

describe('a call that Telegram does not describe', () => {
  it.each([
    ['sendMessage', { chat_id: 1, text: 'a', txt: 'b' }, /no parameter txt/],
    ['sendMessage', { chat_id: 1, text: 7 }, /sendMessage, text/],
    ['sendMessage', { text: 'a' }, /needs chat_id/],
    ['sendMessage', { chat_id: 1, text: 'a', reply_parameters: { message: 1 } }, /reply_parameters/],
    ['sendAnything', {}, /no method sendAnything/],
  ])('is found: %s %j', (method, values, sentence) => {
    expect(complaint(method, new Params(values))).toMatch(sentence);
  });

  it.each([
    ['sendMessage', { chat_id: '1', text: 'a', reply_parameters: '{"message_id":1}' }],
    ['sendChatAction', { chat_id: 1, action: 'typing' }],
    ['getMe', {}],
  ])('is not one of these: %s %j', (method, values) => {
    expect(complaint(method, new Params(values))).toBe(undefined);
  });

  it('fails the test that made it', async () => {
    const fake = await startFakeTelegram();
    const chat = fake.privateChat({ started: true });
    const parameters = new URLSearchParams({ chat_id: String(chat.id), text: 'a', colour: 'red' });
    await fetch(`${fake.apiRoot}/bot${fake.token}/sendMessage?${parameters}`);
    await expect(fake.stop()).rejects.toThrow(/no parameter colour/);
  });
});

describe('what the fake tells', () => {
  it('is as Telegram describes it, in every kind of place and by every kind of sender', async () => {
    const fake = await server();
    const [ada, ghost, boss] = [fake.user(), fake.user(), fake.user({ username: 'boss' })];
    const own = fake.privateChat({ user: ada, started: true });
    const group = fake.group({ members: [ada], owner: boss, anonymousAdmins: [ghost], botIsAdmin: true });
    const forum = fake.group({ members: [ada], owner: boss, forum: true, botIsAdmin: true });
    const basic = fake.group({ members: [ada], basic: true, botIsAdmin: true });
    const news = { id: -1_003_000_000_001, title: 'News' };

    const covered = await own.sendsPhoto(landscape, '/animate waves', { spoiler: true });
    own.edits(covered, 'rain');
    own.sendsDocument({ name: 'a.png', bytes: landscape, mimeType: '' }, 'as a file');
    await own.sendsAlbum([landscape, landscape], 'two');
    const sticker = own.sendsSticker(landscape);
    own.repliesTo(sticker, 'Ada, look', { mentions: [ada] });
    const said = group.sendsText('/ban 24 @boss', { from: ghost });
    group.sendsText('/ban', { asChannel: news, replyTo: said });
    group.repliesTo(group.sendsText('Sale!', { postOf: news }), 'a comment');
    group.sendsText('from elsewhere', { forwarded: true, externalReplyTo: sticker });
    group.sendsText('quoting', { externalReplyTo: group.sendsText('as a group', { from: ghost }) });
    const topic = forum.opensTopic('Cats', boss);
    const inTopic = forum.sendsText('in a topic', { threadId: topic.id });
    forum.repliesTo(inTopic, 'a real reply');
    forum.closesTopic(topic.id, boss);
    basic.becomesSupergroup(['to', 'from']);

    const telegram = client(fake);
    const reply_markup = { inline_keyboard: [[{ text: 'Go', callback_data: 'go' }]] };
    const asked = await telegram.callApi('sendMessage', { chat_id: own.id, text: 'Go?', reply_markup });
    expect(tellingComplaint('Message', asked)).toBeUndefined();
    const video = await telegram.sendVideo(own.id, { source: clip });
    expect(tellingComplaint('Message', video)).toBeUndefined();
    own.presses(await fake.until(() => fake.answers(own)[0]), 'Go');

    const updates = await telegram.getUpdates(0, 100, 0, undefined);
    expect(updates.length).toBeGreaterThan(20);
    for (const update of updates) {
      expect(tellingComplaint('Update', update), JSON.stringify(update)).toBeUndefined();
    }
    expect(tellingComplaint('Update', { update_id: 1, message: { text: 'no sender' } })).toMatch(/chat/);
  });
});
