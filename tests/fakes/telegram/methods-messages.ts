/** Methods that write, change and delete messages. */
import { z } from 'zod';
import { badRequest } from './api-error.ts';
import { readText } from './entities.ts';
import { type InputMedia, inputMedia, mediaFrom } from './input-media.ts';
import { readKeyboard } from './markup.ts';
import type { Media } from './media.ts';
import { type Method, type Methods, type Request, readChat, readOwnMessage } from './method.ts';
import { Params, parsed } from './params.ts';
import { checkedCaption, checkedText, edit, post, readWritableChat } from './posting.ts';

const chatActions = [
  'typing',
  'upload_photo',
  'record_video',
  'upload_video',
  'upload_document',
  'choose_sticker',
];
/** Of those that bots may give; the others are refused. */
const reactions =
  '👍👎❤🔥🥰👏😁🤔🤯😱🤬😢🎉🤩🤮💩🙏👌🕊🤡🥱🥴😍🐳🌚🌭💯🤣⚡🍌🏆💔🤨😐🍓🍾💋🖕😈😴😭🤓👻👀🎃🙈😇😨🤝✍🤗🫡🎅🎄☃💅🤪🗿🆒💘🙉🦄😘💊🙊😎👾🤷😡';

const inputReactions = z.array(z.object({ type: z.literal('emoji'), emoji: z.string() }));

export const messageMethods: Methods = {
  sendMessage: async (request) => {
    const sent = await post(request, () => ({
      body: checkedText(readText(request.params, 'text')),
      media: undefined,
      keyboard: readKeyboard(request.params),
    }));
    return sent.toApi();
  },
  sendPhoto: sends('photo'),
  sendVideo: sends('video'),
  sendAnimation: sends('animation'),
  sendDocument: sends('document'),

  editMessageText: (request) => {
    const message = readOwnMessage(request);
    if (message.media) throw badRequest('there is no text in the message to edit');
    const body = checkedText(readText(request.params, 'text'));
    return edit(message, { body, media: undefined, keyboard: readInline(request) });
  },
  editMessageCaption: (request) => {
    const message = readOwnMessage(request);
    if (!message.media) throw badRequest('there is no caption in the message to edit');
    const body = checkedCaption(readText(request.params, 'caption'));
    return edit(message, { body, media: message.media, keyboard: readInline(request) });
  },
  /** A text message becomes one with media, too. */
  editMessageMedia: async (request) => {
    readOwnMessage(request);
    const input = request.params.object('media', inputMedia, 'InputMedia');
    if (!input) throw badRequest('media is empty');
    const body = checkedCaption(readText(new Params({ ...input }), 'caption'));
    const media = await mediaFrom(request, input);
    const keyboard = readInline(request);
    // While the file was looked at the message may have been deleted.
    return edit(readOwnMessage(request), { body, media, keyboard });
  },
  editMessageReplyMarkup: (request) => {
    const message = readOwnMessage(request);
    return edit(message, { ...message.present, keyboard: readInline(request) });
  },
  deleteMessage: (request) => {
    remove(request, request.params.integer('message_id'));
    return true;
  },

  sendChatAction: (request) => {
    readWritableChat(request);
    const action = request.params.text('action') ?? '';
    if (!chatActions.includes(action)) throw badRequest('wrong parameter action in request');
    return true;
  },
  setMessageReaction: (request) => {
    const message = readChat(request).find(request.params.integer('message_id'));
    if (!message) throw badRequest('message to react not found');
    const given = request.params.object('reaction', inputReactions, 'ReactionType') ?? [];
    if (given.length > 1) throw badRequest('REACTIONS_TOO_MANY');
    if (given.some(({ emoji }) => !reactions.includes(emoji.replace('\ufe0f', ''))))
      throw badRequest('REACTION_INVALID');
    message.reactions = given.map(({ emoji }) => emoji);
    return true;
  },
};

function sends(kind: Media['kind']): Method {
  return async (request) => {
    const { params } = request;
    const sent = await post(request, async () => ({
      body: checkedCaption(readText(params, 'caption')),
      keyboard: readKeyboard(params),
      media: await mediaFrom(request, inputOf(params, kind)),
    }));
    return sent.toApi();
  };
}

/** The parameters of sendVideo and its like, in the form that editMessageMedia has. */
function inputOf(params: Params, kind: Media['kind']): InputMedia {
  const media = params.uploads.has(kind) ? `attach://${kind}` : params.text(kind);
  if (media === undefined || media === '') throw badRequest(`there is no ${kind} in the request`);
  return parsed({ ...params.values, type: kind, media }, inputMedia, 'InputFile');
}

function readInline({ params }: Request) {
  return readKeyboard(params, { inlineOnly: true });
}

function remove(request: Request, id: number | undefined): void {
  const chat = readChat(request);
  const message = chat.find(id);
  if (!message) throw badRequest('message to delete not found');
  const may = message.fromBot || chat.isPrivate || chat.bot === 'administrator';
  if (!may) throw badRequest("message can't be deleted");
  message.deleted = true;
}
