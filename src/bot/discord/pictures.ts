/**
 * Finds the picture in what Discord hands us, and fetches it at once: its links expire. Only from Discord's own hosts,
 * without redirects, with a cap and a deadline.
 */
import type { Message } from 'discord.js';

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

/** Why there is no picture; both have a sentence in the catalogue. */
export type PictureProblem = 'tooLarge' | 'notDownloaded';

/** The bytes as they are; what they are is for others to find out. */
export async function fetchPicture(
  url: string,
  { origins, deadlineMs }: PictureRules,
): Promise<Uint8Array | PictureProblem> {
  if (!URL.canParse(url) || !origins.includes(new URL(url).origin)) return 'notDownloaded';
  return await download(url, AbortSignal.timeout(deadlineMs)).catch(() => 'notDownloaded' as const);
}

async function download(url: string, signal: AbortSignal): Promise<Uint8Array | PictureProblem> {
  const response = await fetch(url, { redirect: 'error', signal });
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    return 'notDownloaded';
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    length += chunk.byteLength;
    if (length > maxPictureBytes) return 'tooLarge'; // leaving the loop cancels the rest
    chunks.push(chunk);
  }
  return length === 0 ? 'notDownloaded' : Buffer.concat(chunks);
}

type Shown = Pick<Message, 'attachments' | 'embeds'> & {
  readonly messageSnapshots?: Pick<Message['messageSnapshots'], 'first'> | undefined;
};

/** The first picture in somebody's message: attached, or in an embed as Discord itself keeps it. */
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
