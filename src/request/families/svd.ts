/** Stable Video Diffusion: a picture to frames, with numbers in place of a text. */
import { mostOverlap } from '../decoder-windows.ts';
import type { Motion } from '../presets.ts';
import { type Range, whole, within } from '../ranges.ts';
import { optionTable } from '../request.ts';
import type { WorkingSize } from '../sizes.ts';
import type { ChosenNumbers, CommonModel, FamilyOptions } from './family.ts';

export interface SvdModel extends CommonModel {
  readonly family: 'svd';
  readonly limits: CommonModel['limits'] & { readonly motionBucket: Range; readonly noiseAug: Range };
  readonly motionBuckets: Readonly<Record<Motion, number>>;
  readonly defaults: CommonModel['defaults'] & {
    readonly targetFps: number;
    readonly noiseAug: number;
    readonly minGuidance: number;
    readonly decodeOverlap: number;
  };
}

export const svd: FamilyOptions<SvdModel> = {
  // It sees the picture alone.
  ignored: ['prompt', 'camera', 'negativePrompt'],
  schedulers: ['euler', 'dpm++2m'],
  of: ({ defaults, limits, motionBuckets }) => ({
    motionLevels: motionBuckets,
    usualChunk: (clip) => usualChunk(defaults.decodeChunkSize, clip),
    conditioning: ({ motionBucket, noiseAug, decodeOverlap }, clip) => ({
      prompt: '',
      negativePrompt: '',
      targetFps: defaults.targetFps,
      motionNumbers: {
        motionBucket: whole('motion bucket', motionBucket ?? motionBuckets[clip.motion], limits.motionBucket),
        noiseAug: within('noise on the picture', noiseAug ?? defaults.noiseAug, limits.noiseAug),
        minGuidance: Math.min(defaults.minGuidance, clip.guidanceScale),
      },
      decodeOverlap: overlapOf(decodeOverlap, defaults.decodeOverlap, clip),
    }),
  }),
};

/** As asked for; the usual one as far as the window has room for it. */
function overlapOf(
  asked: number | undefined,
  usual: number,
  { numFrames, decodeChunkSize }: ChosenNumbers,
): number {
  const { min, max } = optionTable.decodeOverlap;
  const most = decodeChunkSize < numFrames ? Math.min(max, mostOverlap(decodeChunkSize)) : max;
  return asked === undefined ? Math.min(usual, most) : whole('decode overlap', asked, { min, max: most });
}

/** Below this many pixels larger windows are affordable, which differ less from all frames at once. */
const pixelsOfSmallWindows = 768 * 448;
const largeWindow = 11;
/** So many frames are decoded at once. */
const wholeClip = 14;

function usualChunk(
  ofModel: number,
  { width, height, numFrames }: WorkingSize & { readonly numFrames: number },
): number {
  if (width * height >= pixelsOfSmallWindows) return Math.min(ofModel, numFrames);
  return numFrames <= wholeClip ? numFrames : Math.max(ofModel, largeWindow);
}
