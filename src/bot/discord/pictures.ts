/** Finds the pictures of a message or command, and fetches them from Discord's own hosts: their links expire. */
import {
  type APIMessageComponent,
  type APIUnfurledMediaItem,
  type Attachment,
  AttachmentFlags,
  ComponentType,
  type Message,
} from 'discord.js';
import { download, pictureName } from '../download.ts';
import { fileName } from './rendering.ts';

/** The last two are Discord's proxy, through which pictures in previews of links are shown. */
export const discordPictureOrigins = [
  'https://cdn.discordapp.com',
  'https://media.discordapp.net',
  'https://images-ext-1.discordapp.net',
  'https://images-ext-2.discordapp.net',
] as const;
export const maxPictureMegabytes = 25;
const maxPictureBytes = maxPictureMegabytes * 2 ** 20;

export interface PictureRules {
  readonly origins: readonly string[];
  readonly deadlineMs: number;
}

/** The bytes as they are; their format is not checked. */
export async function fetchPicture(
  url: string,
  origins: readonly string[],
  deadline: AbortSignal,
): Promise<Uint8Array | 'tooLarge' | 'failed'> {
  if (!URL.canParse(url) || !origins.includes(new URL(url).origin)) return 'failed';
  return await download(url, maxPictureBytes, deadline);
}

/** A picture as somebody showed it. */
export interface ShownPicture {
  readonly url: string;
  /** People see it only after a click, and so must it be with what is made of it. */
  readonly isCovered: boolean;
}

type Attached = Pick<Attachment, 'url' | 'name' | 'flags'>;

export function pictureOf({ url, name, flags }: Attached): ShownPicture {
  return { url, isCovered: isCoverName(name) || flags.has(AttachmentFlags.IsSpoiler) };
}

type Shown = Pick<Message, 'attachments' | 'components' | 'content' | 'embeds'> & {
  readonly messageSnapshots?: Message['messageSnapshots'] | null;
};

/**
 * What may be pictures in a message, in their order: attached, in its components, in previews of links as Discord itself
 * keeps them, and the same in what it forwards. A file that is shown twice is named once, and covered when it is so once.
 */
export function picturesOf(message: Shown): ShownPicture[] {
  const { attachments, components, content, embeds, messageSnapshots } = message;
  const shown = [
    ...attachments.filter(mayBePicture).map(pictureOf),
    ...components.flatMap((component) => picturesIn(component.toJSON())),
    ...embeds.flatMap(({ url: link, image, thumbnail }) => {
      const embedded = image ?? thumbnail;
      const url = embedded?.proxyURL ?? embedded?.url;
      return url === undefined ? [] : [{ url, isCovered: isCoveredLink(content, link ?? embedded?.url) }];
    }),
    ...[...(messageSnapshots?.values() ?? [])].flatMap(picturesOf),
  ];
  const byFile = new Map<string, ShownPicture>();
  for (const { url, isCovered } of shown) {
    const file = new URL(url, 'https://cdn.discordapp.com').pathname;
    const known = byFile.get(file);
    byFile.set(file, { url: known?.url ?? url, isCovered: isCovered || (known?.isCovered ?? false) });
  }
  return [...byFile.values()];
}

/** Discord tells the type of most files, and measures what it recognises as a picture or video. */
function mayBePicture({ contentType, name, width }: Pick<Attachment, 'contentType' | 'name' | 'width'>) {
  if (contentType?.startsWith('image/') || pictureName.test(name)) return true;
  return width !== null && !/^(video|audio)\//.test(contentType ?? '');
}

function picturesIn(part: APIMessageComponent, isCovered = false): ShownPicture[] {
  switch (part.type) {
    case ComponentType.Container:
      return part.components.flatMap((inner) => picturesIn(inner, part.spoiler));
    case ComponentType.Section:
      return picturesIn(part.accessory, isCovered);
    case ComponentType.MediaGallery:
      return part.items.flatMap(({ media, spoiler }) => inMedia(media, isCovered || spoiler));
    case ComponentType.Thumbnail:
      return inMedia(part.media, isCovered || part.spoiler);
    case ComponentType.File:
      return inMedia(part.file, isCovered || part.spoiler);
    default:
      return [];
  }
}

/** Of a media item from elsewhere only Discord's proxy may be asked. */
function inMedia(
  { url, proxy_url, content_type, attachment_id }: APIUnfurledMediaItem,
  isCovered = false,
): ShownPicture[] {
  const name = new URL(url, 'https://cdn.discordapp.com').pathname.split('/').at(-1) ?? '';
  if (content_type && !content_type.startsWith('image/') && !pictureName.test(name)) return [];
  const from = attachment_id === undefined ? (proxy_url ?? url) : url;
  return [{ url: from, isCovered: isCovered || isCoverName(name) }];
}

function isCoverName(name: string): boolean {
  return name.startsWith(fileName('', true));
}

/** Between two bars words are covered, and with a link its preview. */
function isCoveredLink(content: string, link: string | null | undefined): boolean {
  if (!link) return false;
  return [...content.matchAll(/\|\|(.+?)\|\|/gs)].some(([, covered = '']) => covered.includes(link));
}
