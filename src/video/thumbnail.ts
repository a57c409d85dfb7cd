/**
 * The still picture that chats show before a video has loaded. Knows pixels and JPEG only.
 */
import sharp from 'sharp';

/** Telegram's limits: 320 pixels a side, 200 kB. */
const thumbnailSide = 320;
const thumbnailLimitBytes = 200_000;

/** JPEG of RGB pixels (height * width * 3 bytes), at most 320 pixels a side and 200 kB. */
export async function createThumbnail(data: Uint8Array, width: number, height: number): Promise<Uint8Array> {
  const small = await sharp(data, { raw: { width, height, channels: 3 } })
    .resize(thumbnailSide, thumbnailSide, { fit: 'inside', withoutEnlargement: true })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const raw = { width: small.info.width, height: small.info.height, channels: 3 } as const;
  let jpeg = Buffer.alloc(0);
  for (const quality of [85, 60, 30]) {
    jpeg = await sharp(small.data, { raw }).jpeg({ quality }).toBuffer();
    if (jpeg.length <= thumbnailLimitBytes) break;
  }
  return jpeg;
}
