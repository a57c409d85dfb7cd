import { describe, expect, it } from 'vitest';
import {
  type DecoderRun,
  type DecoderRuns,
  decoderWindows,
  exactChunks,
} from '../../../src/inference/pipelines/decode-runs.ts';
import { mostOverlap } from '../../../src/request/decoder-windows.ts';

/** All runs of a clip, as decode-frames.ts makes them. */
function allRuns(runs: DecoderRuns, numFrames: number, from = 0): DecoderRun[] {
  const made: DecoderRun[] = [];
  for (let index = from; index < numFrames; index = made.at(-1)?.end ?? numFrames) {
    made.push(runs.runFor(index));
  }
  return made;
}

/** "0: 0-4" for a window from frame 0 on, of which frames 0 to 4 are kept. */
const words = (runs: readonly DecoderRun[]): string[] =>
  runs.map(({ first, end }, i) => `${first}: ${runs[i - 1]?.end ?? 0}-${end - 1}`);

describe('windows of a decoder that mixes frames', () => {
  it.each([
    [14, 7, 2, ['0: 0-4', '2: 5-6', '5: 7-9', '7: 10-13']],
    [14, 9, 2, ['0: 0-6', '5: 7-13']],
    [25, 11, 2, ['0: 0-8', '7: 9-15', '14: 16-24']],
    [25, 14, 1, ['0: 0-12', '11: 13-24']],
    [25, 14, 2, ['0: 0-9', '6: 10-15', '11: 16-24']],
    // Three frames have room for one neighbour on either side.
    [6, 3, 2, ['0: 0-1', '1: 2-2', '2: 3-3', '3: 4-5']],
    // Side by side, as diffusers decodes them.
    [25, 8, 0, ['0: 0-7', '8: 8-15', '16: 16-23', '24: 24-24']],
    [14, 25, 2, ['0: 0-13']],
  ])('%d frames, %d at once, %d shared', (numFrames, size, overlap, expected) => {
    expect(words(allRuns(decoderWindows(numFrames, size, overlap), numFrames))).toEqual(expected);
  });

  it.each([
    [1, [0, 4, 9, 14, 18]],
    [2, [0, 3, 6, 9, 12, 15, 18]],
  ])('25 frames, 7 at once, %d shared begin evenly', (overlap, starts) => {
    expect(allRuns(decoderWindows(25, 7, overlap), 25).map(({ first }) => first)).toEqual(starts);
  });

  it('are one where all frames fit, from wherever it is needed', () => {
    expect(decoderWindows(8, 8, 1).runFor(2)).toEqual({ first: 0, count: 8, end: 8 });
  });

  it('give every frame its neighbours once, from wherever they begin', () => {
    const wrong: number[][] = [];
    for (let numFrames = 1; numFrames <= 25; numFrames += 1) {
      for (let size = 1; size <= 25; size += 1) {
        for (let overlap = 0; overlap <= 4; overlap += 1) {
          const runs = decoderWindows(numFrames, size, overlap);
          const given = size < numFrames ? Math.min(overlap, mostOverlap(size)) : 0;
          for (const from of [0, Math.floor(numFrames / 2), numFrames - 1]) {
            let next = from;
            for (const { first, count, end } of allRuns(runs, numFrames, from)) {
              const isInside = first >= 0 && first + count <= numFrames && end > next;
              const isEqual = given === 0 || count === runs.size;
              const [before, after] = [next - first, first + count - end];
              const hasNeighbours =
                before >= Math.min(given, next) && after >= Math.min(given, numFrames - end);
              if (!isInside || !isEqual || !hasNeighbours) wrong.push([numFrames, size, overlap, from]);
              next = end;
            }
            if (next !== numFrames) wrong.push([numFrames, size, overlap, from]);
          }
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it('become smaller by known sizes, down to single frames', () => {
    const sizes: number[] = [];
    for (let runs: DecoderRuns | undefined = decoderWindows(25, 25, 2); runs; runs = runs.smaller()) {
      sizes.push(runs.size);
    }
    expect(sizes).toEqual([25, 14, 11, 9, 7, 5, 3, 2, 1]);
  });
});

describe('chunks of a decoder that knows single frames', () => {
  it('lie side by side, and the last begins within the one before where shapes must be equal', () => {
    expect(allRuns(exactChunks(7, 3, false), 7)).toEqual([
      { first: 0, count: 3, end: 3 },
      { first: 3, count: 3, end: 6 },
      { first: 6, count: 1, end: 7 },
    ]);
    expect(allRuns(exactChunks(7, 3, true), 7).at(-1)).toEqual({ first: 4, count: 3, end: 7 });
    expect(exactChunks(7, 5, false).smaller()?.size).toBe(3);
    expect(exactChunks(7, 1, false).smaller()).toBeUndefined();
  });
});
