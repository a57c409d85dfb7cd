/**
 * Makes an MP4 small enough for a byte budget: less quality first, a smaller picture only when that is not enough.
 * Knows no chat platform's limits.
 */
import { rename, rm } from 'node:fs/promises';
import { KinoraError } from '../errors.ts';
import { defaultCrf, encoderOptions, filterGraph } from './filters.ts';
import { type Mp4Info, readMp4Info } from './mp4.ts';
import { writing } from './output-file.ts';
import { runFfmpeg } from './run-ffmpeg.ts';

/** Below this not even the container and one grey picture fit. */
export const minBudgetBytes = 4096;
/** Beyond it faces turn to blocks, and a smaller picture looks better. */
const worstCrf = 38;
const scales = [0.75, 0.5, 0.25] as const;

/** What was given up: quality (crf above 18) and, as the last resort, the size of the picture (scale below 1). */
export interface Fitted {
  readonly crf: number;
  readonly scale: number;
}

export interface FitOptions {
  readonly maxBytes: number;
  readonly outPath: string;
  readonly ffmpegPath: string;
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMs: number;
  readonly sharesProcessGroup?: boolean | undefined;
}

/** @throws KinoraError INVALID_OPTION for budgets that nothing can meet. */
export function validateBudget(maxBytes: number): void {
  if (!Number.isFinite(maxBytes) || maxBytes < minBudgetBytes) {
    throw new KinoraError(
      'INVALID_OPTION',
      `maxBytes must be at least ${minBudgetBytes}; it is ${maxBytes}.`,
    );
  }
}

/**
 * Replaces the MP4 at `path` by one of at most `maxBytes`, in at most two encodings per picture size.
 *
 * @throws KinoraError INVALID_OPTION with the smallest size reached, and all that runFfmpeg throws.
 */
export async function fitInPlace(path: string, info: Mp4Info, options: FitOptions): Promise<Fitted> {
  const candidate = `${path}.fit`;
  let smallest = info.bytes;
  try {
    for (const scale of [1, ...scales]) {
      // Six steps of crf halve the file, and bytes go with the area: a first guess, then one correction.
      let crf = defaultCrf + 6 * Math.log2((info.bytes * scale * scale) / options.maxBytes) + 0.5;
      for (let attempt = 0; attempt < 3 && crf < worstCrf + 3; attempt++) {
        const used = Math.max(defaultCrf, Math.min(worstCrf, Math.round(crf * 10) / 10));
        await encodeAgain(path, candidate, info, { crf: used, scale }, options);
        const { bytes } = await readMp4Info(candidate);
        if (bytes <= options.maxBytes) {
          await writing(options.outPath, rename(candidate, path));
          return { crf: used, scale };
        }
        smallest = Math.min(smallest, bytes);
        if (used === worstCrf) break;
        crf = used + 6 * Math.log2(bytes / options.maxBytes) + 1;
      }
    }
  } finally {
    await rm(candidate, { force: true });
  }
  throw new KinoraError(
    'INVALID_OPTION',
    `This clip needs maxBytes of at least ${smallest}; it is ${options.maxBytes}.`,
  );
}

function encodeAgain(
  path: string,
  target: string,
  info: Mp4Info,
  { crf, scale }: Fitted,
  options: FitOptions,
) {
  return runFfmpeg({
    ffmpegPath: options.ffmpegPath,
    source: { file: path },
    inputOptions: [],
    filter: filterGraph({ ...info, smooth: 1, loop: false, input: 'yuv420p', scale }),
    outputOptions: encoderOptions(crf, info.frameRate),
    target,
    outPath: options.outPath,
    signal: options.signal,
    deadlineMs: options.deadlineMs,
    sharesProcessGroup: options.sharesProcessGroup,
  });
}
