/** Which frames are decoded together, and which of them are handed out. Pure numbers; decode-frames.ts carries them out. */
import { mostOverlap } from '../../request/decoder-windows.ts';
import { smallerChunk } from '../residency/memory-plan.ts';
import { roundHalfToEven } from '../schedulers/timesteps.ts';

/** Frames `first` to `first + count`, of which those before `end` are handed out that were not before. */
export interface DecoderRun {
  readonly first: number;
  readonly count: number;
  readonly end: number;
}

export interface DecoderRuns {
  /** Frames of a run, at most. */
  readonly size: number;
  /** The run that makes frame `index`, the first that has not been handed out. */
  readonly runFor: (index: number) => DecoderRun;
  /** With fewer frames at once; undefined for single frames. */
  readonly smaller: () => DecoderRuns | undefined;
}

/**
 * Chunks for a decoder that knows single frames only, so that they do not change a pixel.
 * @param haveEqualShapes another shape costs a search for kernels: the last chunk begins within the one before
 */
export function exactChunks(numFrames: number, size: number, haveEqualShapes: boolean): DecoderRuns {
  return {
    size,
    runFor: (index) => {
      const first = haveEqualShapes ? Math.min(index, numFrames - size) : index;
      const end = Math.min(first + size, numFrames);
      return { first, count: end - first, end };
    },
    smaller: () =>
      size === 1 ? undefined : exactChunks(numFrames, smallerChunk(size, false), haveEqualShapes),
  };
}

/**
 * Windows for a decoder that mixes frames: of one size, spread evenly over the clip, of which only the middles are handed
 * out, so that every frame has at least `overlap` neighbours on either side (but at the clip's ends). Without overlap they
 * are chunks side by side, as diffusers decodes them.
 */
export function decoderWindows(numFrames: number, wanted: number, wantedOverlap: number): DecoderRuns {
  const size = Math.min(wanted, numFrames);
  const overlap = size < numFrames ? Math.min(wantedOverlap, mostOverlap(size)) : 0;
  const windows = size === numFrames || overlap > 0 ? evenWindows(numFrames, size, overlap) : [];
  return {
    size,
    runFor: (index) => {
      const end = Math.min(index + size, numFrames);
      return windows.find((window) => window.end > index) ?? { first: index, count: end - index, end };
    },
    smaller: () =>
      size === 1 ? undefined : decoderWindows(numFrames, smallerChunk(size, true), wantedOverlap),
  };
}

function evenWindows(numFrames: number, size: number, overlap: number): DecoderRun[] {
  const count = Math.ceil((numFrames - 2 * overlap) / (size - 2 * overlap));
  const starts = Array.from({ length: count }, (_, i) =>
    roundHalfToEven((i * (numFrames - size)) / Math.max(count - 1, 1)),
  );
  return starts.map((first, i) => {
    const next = starts[i + 1];
    const end = next === undefined ? numFrames : Math.floor((next + first + size + 1) / 2);
    return { first, count: size, end };
  });
}
