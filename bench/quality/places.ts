/** Waves, sway and clouds against masks that were drawn by hand: how much of what changes lies inside. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { decodeImage } from '../../src/inference/pictures/decode.ts';
import { motionWords } from '../../src/request/motions.ts';
import type { Row } from '../report.ts';
import { type Generator, type MadeClip, originalPicture } from './generate.ts';
import { psnr } from './pixels.ts';

const kinds = { waves: 'water', sway: 'foliage', clouds: 'sky' } as const;
type Kind = keyof typeof kinds;

const photosSchema = z.object({
  photos: z.array(
    z.object({
      file: z.string(),
      group: z.number(),
      ground: z.string(),
      areas: z.array(z.object({ kind: z.string(), outline: z.array(z.tuple([z.number(), z.number()])) })),
    }),
  ),
});
type Photo = z.infer<typeof photosSchema>['photos'][number];

const width = 384;

/** Of all photos in which a kind is drawn, or is done all the same. */
export async function examinePlaces(generator: Generator, folder: string, isQuick: boolean): Promise<Row[]> {
  const { photos } = photosSchema.parse(JSON.parse(readFileSync(path.join(folder, 'masks.json'), 'utf8')));
  const rows: Row[] = [];
  for (const photo of isQuick ? photos.slice(0, 4) : photos) {
    const file = path.join(folder, photo.file);
    const shape = await decodeImage(file);
    const height = Math.round((width * shape.height) / shape.width / 16) * 16;
    const picture = await originalPicture(file, width, height);
    for (const [kind, place] of Object.entries(kinds)) {
      const make = (
        seed: number,
        prompt: string = motionWords[kind as Kind], // a key of `kinds`
      ) =>
        generator.clip(file, {
          prompt,
          size: `${width}x${height}`,
          numFrames: 9,
          seed,
        });
      const { frames, understood } = await make(1);
      const isDone = understood.done.some(({ motion }) => motion === kind);
      const mask = drawn(photo, place, { width, height });
      const share = mask.reduce((sum, value) => sum + value, 0) / mask.length;
      if (!isDone) {
        if (share > 0.05)
          rows.push({ photo: nameOf(photo), group: photo.group, kind, drawn: share.toFixed(2), done: 'no' });
        continue;
      }
      const other = await make(2);
      // Against the first frame, which has lost to the codec what all have.
      const [first = picture.data] = frames;
      const inside = frames.slice(1, -1).map((frame) => energyInside(frame, first, mask));
      const apart = frames
        .slice(1, -1)
        .map((frame, k) => psnrInside(frame, other.frames[k + 1] ?? frame, mask));
      rows.push({
        photo: nameOf(photo),
        group: photo.group,
        kind,
        drawn: share.toFixed(2),
        done: 'yes',
        'inside %': (100 * mean(inside)).toFixed(0),
        'first dB': psnr(first, picture.data).toFixed(1),
        'seeds dB': share > 0.02 ? mean(apart).toFixed(1) : '',
        ...(kind === 'clouds' ? await cloudsOf(make, mask, { width, height }) : {}),
      });
    }
  }
  return rows;
}

const speeds = ['slowly', '', 'fast'] as const;
const winds = { left: -1, right: 1 } as const;

/** How much clouds change inside the mask at each speed, of 255, and whether they go with either wind. */
async function cloudsOf(
  make: (seed: number, prompt: string) => Promise<MadeClip>,
  mask: Uint8Array,
  size: { readonly width: number; readonly height: number },
): Promise<Row> {
  const changes: number[] = [];
  for (const speed of speeds) {
    const { frames } = await make(1, `clouds drifting ${speed}`.trim());
    const [first = mask] = frames;
    changes.push(mean(frames.slice(1, -1).map((frame) => changeInside(frame, first, mask))));
  }
  let right = 0;
  for (const [side, sign] of Object.entries(winds)) {
    const { frames } = await make(1, `clouds drifting, wind blowing to the ${side}`);
    if (sign * driftInside(frames, mask, size) > 0) right++;
  }
  return { 'slow, normal, fast': changes.map((value) => value.toFixed(1)).join(' < '), wind: `${right}/2` };
}

/** Whether the numbers of a row of clouds grow with the speed, and both winds were obeyed. */
export function cloudsObey(row: Row): boolean {
  const [slow = 0, normal = 0, fast = 0] = String(row['slow, normal, fast']).split(' < ').map(Number);
  return slow < normal && normal < fast && row['wind'] === '2/2';
}

function changeInside(frame: Uint8Array, first: Uint8Array, mask: Uint8Array): number {
  const area = 3 * mask.reduce((sum, value) => sum + value, 0);
  return (
    frame.reduce(
      (sum, value, i) => sum + Math.abs(value - (first[i] ?? 0)) * (mask[Math.floor(i / 3)] ?? 0),
      0,
    ) / area
  );
}

/**
 * By how many pixels to the right what changes from one frame to the next moves until the one after, in mid-clip. Of the
 * frames' differences from the first one, the clouds of the photograph themselves, which stay in all of them, are the most.
 */
function driftInside(
  frames: readonly Uint8Array[],
  mask: Uint8Array,
  { width, height }: { readonly width: number; readonly height: number },
): number {
  const changes = frames
    .slice(1)
    .map((frame, k) =>
      Float64Array.from({ length: mask.length }, (_, i) => (frame[3 * i] ?? 0) - (frames[k]?.[3 * i] ?? 0)),
    );
  const middle = changes.length >> 1;
  const mostPixels = 48;
  let best = { way: 0, error: Infinity };
  for (let way = -mostPixels; way <= mostPixels; way++) {
    let [squares, seen] = [0, 0];
    for (const k of [middle - 1, middle]) {
      for (let y = 0; y < height; y += 2) {
        for (let x = mostPixels; x < width - mostPixels; x += 2) {
          const [from, to] = [y * width + x, y * width + x + way];
          if (!mask[from] || !mask[to]) continue;
          squares += ((changes[k + 1]?.[to] ?? 0) - (changes[k]?.[from] ?? 0)) ** 2;
          seen++;
        }
      }
    }
    const error = seen === 0 ? Infinity : squares / seen;
    if (error < best.error) best = { way, error };
  }
  return best.way;
}

const mean = (list: readonly number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length;
const nameOf = ({ file }: Photo): string => file.replace('.jpg', '');

/** 0 or 1 for each pixel. Later areas lie over earlier ones. */
function drawn(
  { ground, areas }: Photo,
  place: string,
  size: { readonly width: number; readonly height: number },
): Uint8Array {
  return Uint8Array.from({ length: size.width * size.height }, (_, i) => {
    const x = (100 * ((i % size.width) + 0.5)) / size.width;
    const y = (100 * (Math.floor(i / size.width) + 0.5)) / size.height;
    const area = areas.findLast(({ outline }) => isInside(x, y, outline));
    return (area?.kind ?? ground) === place ? 1 : 0;
  });
}

function isInside(x: number, y: number, outline: Photo['areas'][number]['outline']): boolean {
  let crossings = 0;
  for (const [k, [x2, y2]] of outline.entries()) {
    const [x1, y1] = outline.at(k - 1) ?? [x2, y2];
    if (y1 > y !== y2 > y && x < x1 + ((x2 - x1) * (y - y1)) / (y2 - y1)) crossings++;
  }
  return crossings % 2 === 1;
}

function squares(a: Uint8Array, b: Uint8Array): Float64Array {
  return Float64Array.from({ length: a.length / 3 }, (_, i) =>
    [0, 1, 2].reduce((sum, channel) => sum + ((a[3 * i + channel] ?? 0) - (b[3 * i + channel] ?? 0)) ** 2, 0),
  );
}

function energyInside(frame: Uint8Array, first: Uint8Array, mask: Uint8Array): number {
  // Rounding is no motion.
  const change = squares(frame, first).map((value) => (value <= 3 ? 0 : value));
  const all = change.reduce((sum, value) => sum + value, 0);
  return all === 0 ? 1 : change.reduce((sum, value, i) => sum + value * (mask[i] ?? 0), 0) / all;
}

function psnrInside(a: Uint8Array, b: Uint8Array, mask: Uint8Array): number {
  const area = mask.reduce((sum, value) => sum + value, 0);
  const sum = squares(a, b).reduce((total, value, i) => total + value * (mask[i] ?? 0), 0);
  return sum === 0 ? 99 : 10 * Math.log10((255 ** 2 * 3 * area) / sum);
}
