/**
 * Makes an MP4 small enough for a byte budget: less quality first, a smaller picture only when that is not enough.
 * Knows no chat platform's limits.
 */
import { rename, rm } from 'node:fs/promises';
import { KinoraError } from '../errors.ts';
import { defaultCrf, encoderOptions, filterGraph } from './filters.ts';
import { type Mp4Info, readMp4Info } from './mp4.ts';
import { temporaryFilesOf, writing } from './output-file.ts';
import { runFfmpeg } from './run-ffmpeg.ts';

/** A container with one grey picture needs this much. */
const minBudgetBytes = 4096;
/** Above it faces turn to blocks, and a smaller picture looks better. */
const worstCrf = 38;
const scales = [1, 0.75, 0.5, 0.25] as const;
/** No side is made shorter than this. */
const shortestSide = 64;
const attemptsPerScale = 4;
/** The target, as a share of the budget: crf predicts bytes only roughly. */
const aim = 0.93;
/** A file that fits but uses less than this share of the budget is worth another attempt with more quality. */
const wellUsed = 0.75;

/** How the file was made smaller: crf above the usual and, as the last resort, a scale below 1. */
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

/** @throws KinoraError INVALID_OPTION for a budget below the smallest possible file. */
export function validateBudget(maxBytes: number): void {
  if (!Number.isFinite(maxBytes) || maxBytes < minBudgetBytes) {
    throw new KinoraError(
      'INVALID_OPTION',
      `The size limit is ${maxBytes} bytes; expected at least ${minBudgetBytes}.`,
    );
  }
}

/**
 * Replaces the MP4 at `path` by one of at most `maxBytes`: the largest picture that fits, at the best quality that
 * four encodings per picture size find. The file at `path` is the source of each, so losses do not add up.
 *
 * @throws KinoraError INVALID_OPTION with the smallest size reached, and all that runFfmpeg throws.
 */
export async function fitInPlace(path: string, info: Mp4Info, options: FitOptions): Promise<Fitted> {
  const { maxBytes, outPath } = options;
  const { candidate, kept } = temporaryFilesOf(path);
  let smallest = info.bytes;
  const allowed = scales.filter(
    (scale) => scale === 1 || Math.min(info.width, info.height) * scale >= shortestSide,
  );
  try {
    for (const scale of allowed) {
      // Bytes are proportional to the area, and six steps of crf halve them; each measurement corrects the next guess.
      const start = { crf: defaultCrf, bytes: info.bytes * scale * scale };
      let guess = defaultCrf + 6 * Math.log2(start.bytes / (aim * maxBytes));
      if (guess > worstCrf + 3 && scale !== allowed.at(-1)) continue;
      let tooLarge = defaultCrf - 1;
      let fitted: Fitted | undefined;
      for (let attempt = 0; attempt < attemptsPerScale; attempt++) {
        const crf = Math.round(Math.min(Math.max(guess, defaultCrf), worstCrf) * 10) / 10;
        await encodeAgain(path, candidate, info, { crf, scale }, options);
        const { bytes } = await readMp4Info(candidate);
        smallest = Math.min(smallest, bytes);
        const halvings = Math.log2(start.bytes / bytes);
        const crfPerHalving = Math.min(Math.max((crf - start.crf) / halvings || 6, 3), 12);
        const next = crf + crfPerHalving * Math.log2(bytes / (aim * maxBytes));
        if (bytes <= maxBytes) {
          await writing(outPath, rename(candidate, kept));
          fitted = { crf, scale };
          guess = Math.max(next, (crf + tooLarge) / 2);
          if (bytes >= wellUsed * maxBytes || crf === defaultCrf || crf - guess < 0.3) break;
        } else {
          if (crf === worstCrf) break;
          tooLarge = crf;
          guess = fitted ? (crf + fitted.crf) / 2 : Math.max(next, crf + 0.5);
        }
      }
      if (fitted) {
        await writing(outPath, rename(kept, path));
        return fitted;
      }
    }
  } finally {
    await rm(candidate, { force: true });
    await rm(kept, { force: true });
  }
  throw new KinoraError('INVALID_OPTION', { kind: 'cannotFit', smallestBytes: smallest, maxBytes });
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
    outputOptions: encoderOptions(crf, info.frameRate, 'medium'),
    target,
    outPath: options.outPath,
    signal: options.signal,
    deadlineMs: options.deadlineMs,
    sharesProcessGroup: options.sharesProcessGroup,
  });
}
