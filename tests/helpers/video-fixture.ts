/** Frames with known pixels, and independent checks: ffprobe, decoded planes, /proc. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ffmpegInstaller from '@ffmpeg-installer/ffmpeg';
import ffprobeInstaller from '@ffprobe-installer/ffprobe';
import { afterAll } from 'vitest';
import { z } from 'zod';

/** The build of the npm package (2018), and the machine's own where there is one. */
export const builds: readonly (readonly [name: string, path: string])[] = [
  ['npm', ffmpegInstaller.path],
  ...(spawnSync('ffmpeg', ['-version']).status === 0 ? [['system', 'ffmpeg'] as const] : []),
];
export const ffmpegPath = ffmpegInstaller.path;

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'kinora-video-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface RawFrame {
  readonly data: Uint8Array;
}

/** Soft coloured texture that moves by `dx`, `dy` pixels per frame, so that a lost or moved frame shows. */
export function textureFrame(
  width: number,
  height: number,
  t: number,
  { dx = 3, dy = 1 } = {},
): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [u, v] = [x + t * dx, y + t * dy];
      const i = (y * width + x) * 3;
      data[i] = 128 + 60 * Math.sin(u / 9 + Math.sin(v / 13)) + 40 * Math.cos(v / 7);
      data[i + 1] = 128 + 60 * Math.sin(u / 15 + v / 11) + 30 * Math.cos(u / 6);
      data[i + 2] = 128 + 70 * Math.cos(u / 21 - v / 17);
    }
  }
  return data;
}

export async function* texture(
  count: number,
  width: number,
  height: number,
  motion?: { dx: number; dy: number },
): AsyncGenerator<RawFrame> {
  for (let t = 0; t < count; t++) yield { data: textureFrame(width, height, t, motion) };
}

const probeSchema = z.object({
  streams: z.array(
    z.object({
      codec_name: z.string(),
      codec_type: z.string(),
      profile: z.string(),
      pix_fmt: z.string(),
      width: z.number(),
      height: z.number(),
      sample_aspect_ratio: z.string(),
      color_range: z.string().optional(),
      color_space: z.string().optional(),
      color_transfer: z.string().optional(),
      color_primaries: z.string().optional(),
      r_frame_rate: z.string(),
      avg_frame_rate: z.string(),
      start_time: z.coerce.number(),
      duration: z.coerce.number(),
      nb_frames: z.coerce.number(),
      nb_read_frames: z.coerce.number(),
    }),
  ),
  format: z.object({
    duration: z.coerce.number(),
    tags: z.record(z.string(), z.string()).optional(),
  }),
  frames: z.array(z.object({ pts_time: z.coerce.number() })),
});

export function ffprobe(path: string) {
  const stdout = execFileSync(ffprobeInstaller.path, [
    ...['-v', 'error', '-of', 'json', '-count_frames', '-show_streams', '-show_format'],
    ...['-show_frames', '-show_entries', 'frame=pts_time', path],
  ]);
  const { streams, format, frames } = probeSchema.parse(JSON.parse(stdout.toString()));
  const [stream] = streams;
  if (!stream || streams.length !== 1) throw new Error(`${streams.length} streams`);
  return { stream, format, times: frames.map((frame) => frame.pts_time) };
}

/** Names of the top-level boxes in the order of the file. */
export function topLevelBoxes(path: string): string[] {
  const file = readFileSync(path);
  const names: string[] = [];
  for (let offset = 0; offset < file.length; offset += file.readUInt32BE(offset)) {
    names.push(file.toString('latin1', offset + 4, offset + 8));
  }
  return names;
}

/** The frames as RGB, from the stored planes by the bt709 equations themselves (no colour code of ffmpeg). */
export function decodeFrames(path: string, width: number, height: number): Uint8Array[] {
  const planes = execFileSync(
    ffmpegPath,
    ['-v', 'error', '-i', path, '-vsync', '0', '-f', 'rawvideo', '-pix_fmt', 'yuv420p', '-'],
    { maxBuffer: 512 * 1024 * 1024 },
  );
  const frameBytes = (width * height * 3) / 2;
  const frames: Uint8Array[] = [];
  for (let offset = 0; offset < planes.length; offset += frameBytes) {
    frames.push(bt709ToRgb(planes.subarray(offset, offset + frameBytes), width, height));
  }
  return frames;
}

/**
 * Mean difference between the first and the last frame of a clip, of 255, in its columns from `from` to `to`, which are
 * parts of its width.
 */
export function columnsChange(
  path: string,
  [width, height]: readonly [number, number],
  from: number,
  to: number,
): number {
  const frames = decodeFrames(path, width, height);
  const [first, last] = [frames.at(0), frames.at(-1)];
  const [left, right] = [Math.round(width * from), Math.round(width * to)];
  let sum = 0;
  for (let y = 0; y < height; y++) {
    for (let i = (y * width + left) * 3; i < (y * width + right) * 3; i++) {
      sum += Math.abs((first?.[i] ?? 0) - (last?.[i] ?? 255));
    }
  }
  return sum / (height * 3 * (right - left));
}

function bt709ToRgb(planes: Uint8Array, width: number, height: number): Uint8Array {
  const rgb = new Uint8ClampedArray(width * height * 3);
  const chroma = width * height;
  const half = width / 2;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = chroma + (y >> 1) * half + (x >> 1);
      const luma = (255 / 219) * ((planes[y * width + x] ?? 0) - 16);
      const cb = (255 / 224) * ((planes[at] ?? 0) - 128);
      const cr = (255 / 224) * ((planes[at + chroma / 4] ?? 0) - 128);
      const i = (y * width + x) * 3;
      rgb[i] = luma + 1.5748 * cr;
      rgb[i + 1] = luma - 0.1873 * cb - 0.4681 * cr;
      rgb[i + 2] = luma + 1.8556 * cb;
    }
  }
  return Uint8Array.from(rgb);
}

/** Peak signal-to-noise ratio in dB. */
export function psnr(a: Uint8Array | undefined, b: Uint8Array | undefined): number {
  if (!a || !b || a.length !== b.length) throw new Error('frames of different sizes');
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] ?? 0) - (b[i] ?? 0)) ** 2;
  return 10 * Math.log10(255 ** 2 / (sum / a.length));
}

/** Living processes that have `text` in their command line, and ffmpeg zombies of this process. */
export function processesOf(text: string): { pid: number; name: string }[] {
  const found: { pid: number; name: string }[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const commandLine = readFileSync(`/proc/${entry}/cmdline`, 'latin1');
      const status = readFileSync(`/proc/${entry}/stat`, 'latin1');
      const [, name = '', state, parent] = /^\d+ \((.*)\) (\S) (\d+)/.exec(status) ?? [];
      const isZombie = state === 'Z' && Number(parent) === process.pid && name.startsWith('ffmpeg');
      if (isZombie || commandLine.includes(text)) found.push({ pid: Number(entry), name });
    } catch {
      // Gone between listing and reading.
    }
  }
  return found;
}

/** Waits for a condition that another process fulfils. */
export async function until<T>(condition: () => T | undefined | false): Promise<T> {
  for (let i = 0; i < 500; i++) {
    const value = condition();
    if (value !== undefined && value !== false) return value;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('the condition did not come true in 5 s');
}

/** The pid of the ffmpeg that writes into `folder`. */
export function ffmpegPidIn(folder: string): Promise<number> {
  return until(() => processesOf(folder).find(({ name }) => name === 'ffmpeg')?.pid);
}
