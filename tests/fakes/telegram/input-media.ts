/** Files that the bot sends: uploaded in the request, or known by their file_id. */
import { z } from 'zod';
import { badRequest } from './api-error.ts';
import type { StoredFile } from './files.ts';
import { isMp4, type Media, photoFrom, thumbnailFrom } from './media.ts';
import type { Request } from './method.ts';
import type { Upload } from './params.ts';

/** In forms numbers and flags are text. */
const number = z.coerce.number().int().nonnegative().optional();
const flag = z.union([z.boolean(), z.stringbool()]).optional();
export const inputMedia = z.object({
  type: z.enum(['photo', 'video', 'animation', 'document']),
  /** "attach://<field>" or a file_id. */
  media: z.string(),
  caption: z.string().optional(),
  parse_mode: z.string().optional(),
  caption_entities: z.unknown().optional(),
  width: number,
  height: number,
  duration: number,
  supports_streaming: flag,
  has_spoiler: flag,
  thumbnail: z.string().optional(),
});
export type InputMedia = z.output<typeof inputMedia>;

const attach = 'attach://';
const maxPhotoBytes = 10 * 1024 * 1024;

/** @throws ApiError 400 for what Telegram does not take */
export async function mediaFrom(request: Request, input: InputMedia): Promise<Media> {
  const { world } = request;
  if (!input.media.startsWith(attach)) return resent(request, input);
  const upload = attached(request, input.media, 'media');
  if (!upload) throw badRequest("can't parse InputMedia: media not found");
  if (upload.bytes.byteLength === 0) throw badRequest('file must be non-empty');
  const spoiler = input.has_spoiler ?? false;
  if (input.type === 'photo') return remember(request, await photo(request, upload, spoiler));
  const thumbnail = attached(request, input.thumbnail, 'thumbnail');
  // A clip that is no MP4 is shown as a file.
  const kind = input.type === 'video' && !isMp4(upload.bytes) ? 'document' : input.type;
  return remember(request, {
    kind,
    file: world.files.store(kind, upload.bytes, { name: upload.name }),
    sizes: [],
    width: input.width ?? 0,
    height: input.height ?? 0,
    duration: input.duration ?? 0,
    supportsStreaming: input.supports_streaming ?? false,
    spoiler,
    thumbnail: thumbnail && (await thumbnailFrom(world.files, thumbnail.bytes)),
  });
}

/** By "attach://<field>"; anything else means the field of that kind. */
function attached(
  { params }: Request,
  reference: string | undefined,
  usualField: string,
): Upload | undefined {
  const field = reference?.startsWith(attach) ? reference.slice(attach.length) : usualField;
  return params.uploads.get(field);
}

async function photo({ world }: Request, { bytes }: Upload, spoiler: boolean): Promise<Media> {
  if (bytes.byteLength > maxPhotoBytes) throw badRequest('file is too big');
  return photoFrom(world.files, bytes, spoiler).catch(() => {
    throw badRequest('IMAGE_PROCESS_FAILED');
  });
}

/** A file that Telegram has already: it keeps its kind, its size and its duration. */
function resent({ world }: Request, { media: id, type, has_spoiler }: InputMedia): Media {
  if (/^https?:/.test(id)) throw badRequest('failed to get HTTP URL content');
  const file: StoredFile | undefined = world.files.find(id);
  const known = world.sentMedia.get(id) ?? world.messageMedia(id);
  if (!file || !known) throw badRequest('wrong file identifier/HTTP URL specified');
  if (known.kind !== type) throw badRequest(`can't use file of type ${known.kind} as ${type}`);
  return { ...known, spoiler: has_spoiler ?? false };
}

function remember({ world }: Request, media: Media): Media {
  world.sentMedia.set(media.file.id, media);
  return media;
}
