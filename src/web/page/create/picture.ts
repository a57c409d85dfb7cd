/** Pictures in the browser: decoded, turned, cropped, drawn and made into the file that is sent. */
import { useEffect, useState } from 'preact/hooks';
import { type Box, type DraftPicture, type Edit, unedited } from './draft.ts';

export interface Size {
  readonly width: number;
  readonly height: number;
}

export type Decoded =
  | { readonly kind: 'loading' }
  | { readonly kind: 'shown'; readonly bitmap: ImageBitmap }
  /** A format that this browser cannot show; Kinora may take it all the same. */
  | { readonly kind: 'unshowable' };

/** The picture of a draft, decoded once for each file. */
export function useDecoded(blob: Blob | undefined): Decoded {
  const [decoded, setDecoded] = useState<{ readonly of: Blob; readonly as: Decoded }>();
  useEffect(() => {
    if (!blob) return;
    let isWanted = true;
    const show = (as: Decoded): void => {
      if (isWanted) setDecoded({ of: blob, as });
    };
    const decoding = createImageBitmap(blob);
    decoding.then(
      (bitmap) => show({ kind: 'shown', bitmap }),
      () => show({ kind: 'unshowable' }),
    );
    return () => {
      isWanted = false;
      void decoding.then((bitmap) => bitmap.close()).catch(() => {});
    };
  }, [blob]);
  return decoded && decoded.of === blob ? decoded.as : { kind: 'loading' };
}

export const whole: Box = { x: 0, y: 0, width: 1, height: 1 };

export function turnedSize({ width, height }: Size, { turns }: Pick<Edit, 'turns'>): Size {
  return turns % 2 === 0 ? { width, height } : { width: height, height: width };
}

/** Size of the part that is used, in pixels. */
export function editedSize(picture: Size, edit: Edit): Size {
  const turned = turnedSize(picture, edit);
  const { width, height } = edit.crop ?? whole;
  return {
    width: Math.max(1, Math.round(turned.width * width)),
    height: Math.max(1, Math.round(turned.height * height)),
  };
}

/** Draws the used part, with its longer side at most `longest` pixels. */
export function draw(canvas: HTMLCanvasElement, bitmap: ImageBitmap, edit: Edit, longest: number): void {
  const used = editedSize(bitmap, edit);
  const turned = turnedSize(bitmap, edit);
  const { x, y } = edit.crop ?? whole;
  const scale = Math.min(1, longest / Math.max(used.width, used.height));
  canvas.width = Math.max(1, Math.round(used.width * scale));
  canvas.height = Math.max(1, Math.round(used.height * scale));
  const context = canvas.getContext('2d');
  if (!context) return;
  context.imageSmoothingQuality = 'high';
  context.scale(scale, scale);
  context.translate(turned.width * (0.5 - x), turned.height * (0.5 - y));
  context.rotate((edit.turns * Math.PI) / 2);
  context.drawImage(bitmap, -bitmap.width / 2, -bitmap.height / 2);
}

/** More than any model looks at. */
const longestSent = 4096;

/** The file to send: the one that was chosen, as it is, or a new one of what was cropped and turned. */
export async function fileOf({ blob, edit }: DraftPicture): Promise<Blob> {
  if (edit === unedited || (edit.turns === 0 && !edit.crop)) return blob;
  const bitmap = await createImageBitmap(blob);
  const canvas = document.createElement('canvas');
  draw(canvas, bitmap, edit, longestSent);
  bitmap.close();
  // Only JPEG loses what is transparent.
  const type = blob.type === 'image/jpeg' ? 'image/jpeg' : 'image/png';
  return await new Promise((resolve) => canvas.toBlob((made) => resolve(made ?? blob), type, 0.95));
}

/** The first picture of what was dropped or pasted. */
export function pictureIn(data: DataTransfer | null): File | undefined {
  return [...(data?.files ?? [])].find(({ type }) => type.startsWith('image/'));
}
