/** Weather against its prompt: more where heavy was asked for, the way that it falls or rises, and the wind's side. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import sharp from 'sharp';
import { motionWords } from '../../src/request/motions.ts';
import type { Row } from '../report.ts';
import type { Generator } from './generate.ts';
import { count, differences, drift, lean, plainGrey } from './particles.ts';
import { psnr } from './pixels.ts';

const size = { width: 288, height: 192 } as const;

/** What is counted and followed; 1 falls, -1 rises, 0 does neither. */
const particles = {
  snow: 1,
  rain: 1,
  leaves: 1,
  petals: 1,
  embers: -1,
  bubbles: -1,
  dust: 0,
  bokeh: 0,
  fireflies: 0,
};
const particleKinds = [
  'snow',
  'rain',
  'leaves',
  'petals',
  'embers',
  'bubbles',
  'dust',
  'bokeh',
  'fireflies',
] as const;
const fields = ['fog', 'steam', 'rays', 'flicker', 'dusk'] as const;
const strengths = ['gentle', '', 'strong'] as const;
const winds = ['left', 'right'] as const;
/** Of a clip of 64 frames: the way that follows the wind is seen in a few of them. */
const followed = { numFrames: 64, frames: 16 } as const;

export async function examineWeather(generator: Generator, isQuick: boolean): Promise<Row[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'kinora-grey-'));
  const grey = path.join(folder, 'grey.png');
  const background = { r: plainGrey, g: plainGrey, b: plainGrey };
  await sharp({ create: { ...size, channels: 3, background } })
    .png()
    .toFile(grey);
  const frames = (prompt: string, numFrames: number, seed: number): Promise<Uint8Array[]> =>
    generator.frames(grey, { prompt, size: `${size.width}x${size.height}`, numFrames, seed });
  const rows: Row[] = [];
  try {
    for (const kind of particleKinds) {
      const way = particles[kind];
      const amounts = await Promise.all(
        strengths.map(async (strength) => {
          const seen = await frames(`static camera, ${strength} ${motionWords[kind]}`, 5, 3);
          return Math.round(
            seen.reduce((sum, frame) => sum + count(differences(frame, size), size), 0) / seen.length,
          );
        }),
      );
      const sides = way === 0 ? [] : await windsOf(kind, way, frames, isQuick ? 1 : 2);
      const isMore = (amounts[0] ?? 0) < (amounts[1] ?? 0) && (amounts[1] ?? 0) < (amounts[2] ?? 0);
      rows.push({
        kind,
        'gentle, normal, strong': amounts.join(' < '),
        wind: sides.length === 0 ? '' : `${sides.filter(Boolean).length}/${sides.length}`,
        obeyed: isMore && sides.every(Boolean) ? 1 : 0,
      });
    }
    for (const kind of fields) {
      const changes: number[] = [];
      for (const strength of strengths) {
        const seen = await frames(`static camera, ${strength} ${motionWords[kind]}`, 49, 3);
        const plain = new Uint8Array(size.width * size.height * 3).fill(plainGrey);
        const squares = seen.map((frame) => 10 ** (-psnr(frame, plain) / 10));
        changes.push(-10 * Math.log10(squares.reduce((sum, square) => sum + square, 0) / squares.length));
      }
      const [light = 0, normal = 0, heavy = 0] = changes;
      const amounts = changes.map((dB) => `${dB.toFixed(1)} dB`).join(' > ');
      rows.push({
        kind,
        'gentle, normal, strong': amounts,
        wind: '',
        obeyed: light > normal && normal > heavy ? 1 : 0,
      });
    }
    const flashes: number[] = [];
    for (const strength of strengths) {
      const seen = await frames(`static camera, ${strength} ${motionWords.lightning}`, 96, 3);
      flashes.push(flashesIn(seen));
    }
    const [gentle = 0, normal = 0, strong = 0] = flashes;
    const amounts = flashes.join(' < ');
    const obeyed = gentle > 0 && gentle < normal && normal < strong ? 1 : 0;
    rows.push({ kind: 'lightning', 'gentle, normal, strong': amounts, wind: '', obeyed });
  } finally {
    rmSync(folder, { recursive: true });
  }
  return rows;
}

/** Frames that are much brighter than the dark of the storm. */
function flashesIn(frames: readonly Uint8Array[]): number {
  const light = frames.map((frame) => frame.reduce((sum, value) => sum + value, 0) / frame.length);
  const dark = light.toSorted((a, b) => a - b)[light.length >> 2] ?? 0;
  return light.filter((value, k) => value > dark + 25 && k > 9 && k < frames.length - 10).length;
}

/** Whether the particles go where the wind blows, and down or up as they should, for each wind and seed. */
async function windsOf(
  kind: keyof typeof particles,
  way: number,
  frames: (prompt: string, numFrames: number, seed: number) => Promise<Uint8Array[]>,
  seeds: number,
): Promise<boolean[]> {
  const right: boolean[] = [];
  for (const wind of winds) {
    for (let seed = 1; seed <= seeds; seed++) {
      const prompt = `static camera, ${motionWords[kind]}, wind blowing to the ${wind}`;
      const sign = wind === 'right' ? 1 : -1;
      if (kind === 'rain') {
        // Faster than frames follow one another: its streaks say where it goes. Down to the right they lean like \.
        const [first] = await frames(prompt, 2, seed);
        right.push(first !== undefined && lean(differences(first, size), size) * sign < 0);
        continue;
      }
      const clip = (await frames(prompt, followed.numFrames, seed)).slice(0, followed.frames);
      const [x, y] = drift(
        clip.map((frame) => differences(frame, size)),
        size,
      );
      right.push(x * sign > 0 && y * way > 0);
    }
  }
  return right;
}
