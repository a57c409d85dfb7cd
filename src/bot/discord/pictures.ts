/** Finds the picture of a message or command, and fetches it from Discord's own hosts: its links expire. */
import type { Message } from 'discord.js';
import { download } from '../download.ts';

/** The last two are Discord's proxy, through which pictures in previews of links are shown. */
export const discordPictureOrigins = [
  'https://cdn.discordapp.com',
  'https://media.discordapp.net',
  'https://images-ext-1.discordapp.net',
  'https://images-ext-2.discordapp.net',
] as const;
export const maxPictureMegabytes = 25;
const maxPictureBytes = maxPictureMegabytes * 2 ** 20;
const pictureName = /\.(jpe?g|png|webp|gif|heic|heif|avif|svg|bmp|tiff?)$/i;

export interface PictureRules {
  readonly origins: readonly string[];
  readonly deadlineMs: number;
}

/** The bytes as they are; their format is not checked. */
export async function fetchPicture(
  url: string,
  { origins, deadlineMs }: PictureRules,
): Promise<Uint8Array | 'tooLarge' | 'failed'> {
  if (!URL.canParse(url) || !origins.includes(new URL(url).origin)) return 'failed';
  return await download(url, maxPictureBytes, AbortSignal.timeout(deadlineMs));
}

type Shown = Pick<Message, 'attachments' | 'embeds'> & {
  readonly messageSnapshots?: Pick<Message['messageSnapshots'], 'first'> | undefined;
};

/** The first picture in a message: attached, or in an embed as Discord itself keeps it. */
export function pictureUrlOf({ attachments, embeds, messageSnapshots }: Shown): string | undefined {
  const attached = attachments.find(
    ({ contentType, name }) => contentType?.startsWith('image/') || pictureName.test(name),
  );
  if (attached) return attached.url;
  for (const { image, thumbnail } of embeds) {
    const embedded = image ?? thumbnail;
    const url = embedded?.proxyURL ?? embedded?.url;
    if (url !== undefined) return url;
  }
  const forwarded = messageSnapshots?.first();
  return forwarded
    ? pictureUrlOf({ attachments: forwarded.attachments, embeds: forwarded.embeds })
    : undefined;
}
