/**
 * A picture's file, decoded only when its pixels are needed. The latent cache keeps under the hash of all its bytes which
 * picture a file shows, so a remix needs no decoder. Knows no model.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Picture, RgbImage } from '../image-to-video.ts';
import { LatentCache } from '../latent-cache.ts';
import { type DecodedImage, decodeImage, decoderName, imageKey } from './decode.ts';
import { readPicture } from './header.ts';

/** The result of decodeImage without the pixels. */
const knowledgeSchema = z.object({
  pictureKey: z.string().regex(/^[0-9a-f]{64}$/),
  width: z.int().positive(),
  height: z.int().positive(),
  notes: z.array(z.string()),
});
type Knowledge = z.infer<typeof knowledgeSchema>;

const decoder = decoderName();

type Decode = (bytes: Uint8Array) => Promise<DecodedImage>;

/**
 * Decodes at once what the cache does not know, so that a file that is no picture is refused here. What it knows was
 * decoded without complaint before, from the same bytes by the same decoder within the same limits.
 * @param decode decodeImage, here or in another process
 * Throws what `decode` throws.
 */
export async function openPicture(
  path: string,
  cache: LatentCache,
  decode: Decode = decodeImage,
): Promise<OpenedPicture> {
  const bytes = await readPicture(path);
  const entryKey = LatentCache.fileEntry(createHash('sha256').update(bytes).digest('hex'), decoder);
  const entry = await cache.get(entryKey);
  const known = knowledgeSchema.safeParse(entry?.meta); // another version may have written it
  if (known.success) return new OpenedPicture(known.data, bytes, decode);

  const startedAt = performance.now();
  const { notes, ...image } = await decode(bytes);
  const decodeMs = performance.now() - startedAt;
  const { width, height } = image;
  const knowledge = { pictureKey: imageKey(image), width, height, notes: [...notes] };
  cache.set(entryKey, { tensors: {}, meta: knowledge });
  return new OpenedPicture(knowledge, bytes, decode, { image, decodeMs });
}

export class OpenedPicture implements Picture {
  readonly key: string;
  readonly width: number;
  readonly height: number;
  /** As DecodedImage.notes. */
  readonly notes: readonly string[];
  /** What was hashed, and not the path, is decoded: another file may be there by then. */
  readonly #bytes: Uint8Array;
  readonly #decode: Decode;
  #decoded: { readonly image: RgbImage; readonly decodeMs: number } | undefined;

  constructor(
    { pictureKey, width, height, notes }: Knowledge,
    bytes: Uint8Array,
    decode: Decode,
    decoded?: { readonly image: RgbImage; readonly decodeMs: number },
  ) {
    this.key = pictureKey;
    this.width = width;
    this.height = height;
    this.notes = notes;
    this.#bytes = bytes;
    this.#decode = decode;
    this.#decoded = decoded;
  }

  /** Milliseconds that decoding took; undefined while it was not needed. */
  get decodeMs(): number | undefined {
    return this.#decoded?.decodeMs;
  }

  async pixels(): Promise<RgbImage> {
    if (!this.#decoded) {
      const startedAt = performance.now();
      const image = await this.#decode(this.#bytes);
      this.#decoded = { image, decodeMs: performance.now() - startedAt };
    }
    return this.#decoded.image;
  }
}

/** A picture whose pixels are there already. */
export function pictureOf({ width, height, data }: RgbImage): Picture {
  const image = { width, height, data };
  return { key: imageKey(image), width, height, pixels: async () => image };
}
