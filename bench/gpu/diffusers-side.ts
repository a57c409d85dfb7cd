/** Runs diffusers_side.py on the plan. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { defaultCrf, encoderOptions, filterGraph } from '../../src/video/filters.ts';
import { runHelper } from './helper-process.ts';
import type { Measurements } from './measurements.ts';
import type { Job, Plan } from './plan.ts';
import type { VramMeter } from './vram.ts';

export interface DiffusersOptions {
  readonly python: string;
  readonly checkpoint: string;
  readonly device: string;
  /** Methods of the script: jobs, large, matrix, flop, steps, vae. */
  readonly parts: readonly string[];
  readonly image: string;
  readonly prompt: string;
  /** Arguments of the pipeline besides picture, prompt, size, steps and guidance. */
  readonly request: Readonly<Record<string, string | number>>;
  readonly fps: number;
  readonly ffmpegPath: string;
  /** For the plan and the MP4s. */
  readonly folder: string;
}

/** What encodeVideo gives ffmpeg for a clip without loop and smoothing. */
function ffmpegOptions({ width, height, key }: Job, { fps, folder }: DiffusersOptions): string[] {
  const frameRate = [fps, 1] as const;
  return [
    ...['-y', '-f', 'rawvideo', '-pixel_format', 'rgb24', '-video_size', `${width}x${height}`],
    ...['-framerate', frameRate.join('/'), '-i', 'pipe:0'],
    ...['-vf', filterGraph({ width, height, frameRate, smooth: 1, loop: false, input: 'rgb24' })],
    ...encoderOptions(defaultCrf, frameRate),
    path.join(folder, `diffusers-${key}.mp4`),
  ];
}

export async function measureDiffusers(
  plan: Plan,
  options: DiffusersOptions,
  measurements: Measurements,
  vram: VramMeter,
): Promise<void> {
  const withFfmpeg = (job: Job) => ({ ...job, ffmpegOptions: ffmpegOptions(job, options) });
  const planFile = path.join(options.folder, 'plan.json');
  const { checkpoint, device, parts, image, prompt, request, ffmpegPath } = options;
  writeFileSync(
    planFile,
    JSON.stringify({
      ...plan,
      ...{ checkpoint, device, parts, image, prompt, request, ffmpeg: ffmpegPath },
      jobs: plan.jobs.map(withFfmpeg),
      large: [withFfmpeg(plan.large)],
    }),
  );
  const script = fileURLToPath(new URL('diffusers_side.py', import.meta.url));
  await runHelper(
    { side: 'diffusers', program: options.python, args: [script, planFile] },
    measurements,
    vram,
  );
}
