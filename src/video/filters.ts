/**
 * The filter graphs and encoder settings of every MP4 of Kinora, in a syntax that ffmpeg builds from 2018 to today
 * understand. Knows no files and no processes.
 */
import { availableParallelism } from 'node:os';

export interface Transformation {
  /** Multiplies frames and frame rate by motion-compensated interpolation. */
  readonly smooth: 1 | 2 | 3;
  /** Plays forwards, then backwards, without showing the two end frames twice. */
  readonly loop: boolean;
}

/** A single picture has nothing between its frames, and fewer than three have no way back. */
export function applicable(numFrames: number, { smooth, loop }: Transformation): Transformation {
  const factor = numFrames > 1 ? smooth : 1;
  return { smooth: factor, loop: loop && (numFrames - 1) * factor + 1 > 2 };
}

/** Frames of the result: (n - 1) * smooth + 1 after smoothing, then 2n - 2 for the way there and back. */
export function numFramesAfter(numFrames: number, transformation: Transformation): number {
  const { smooth, loop } = applicable(numFrames, transformation);
  const smoothed = (numFrames - 1) * smooth + 1;
  return loop ? 2 * smoothed - 2 : smoothed;
}

/** The opposite of numFramesAfter. */
export function numFramesBefore(numFrames: number, { smooth, loop }: Transformation): number {
  // There is no way back of fewer than three frames.
  const there = loop && numFrames > 2 ? numFrames / 2 + 1 : numFrames;
  return there > 1 ? (there - 1) / smooth + 1 : 1;
}

/** x264 codes 4:2:0, whose sides are even: an odd last row or column is cut off, never scaled away. */
export function evenSize(side: number): number {
  return side - (side % 2);
}

export interface GraphOptions extends Transformation {
  readonly width: number;
  readonly height: number;
  /** Frames per second of the input, as a fraction. */
  readonly frameRate: readonly [number, number];
  /** RGB frames, or pictures that are bt709 4:2:0 already. */
  readonly input: 'rgb24' | 'yuv420p';
  /** Side length factor of the result; 1 leaves the pixels alone. */
  readonly scale?: number;
}

/** Everything between the decoded input and the encoder, as one linear or ping-pong graph. The transformation must be applicable. */
export function filterGraph(options: GraphOptions): string {
  const { smooth, loop, scale = 1 } = options;
  const [numerator, denominator] = options.frameRate;
  const width = evenSize(options.width);
  const height = evenSize(options.height);
  const steps: string[] = [];
  if (width !== options.width || height !== options.height) steps.push(`crop=${width}:${height}:0:0`);
  if (options.input === 'rgb24') {
    // Without this ffmpeg uses bt601 and tags nothing; players assume bt709 for untagged files, and colours shift.
    steps.push(
      'scale=in_range=pc:out_range=tv:out_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int',
    );
  }
  if (scale !== 1) {
    const [scaledWidth, scaledHeight] = scaledSize(width, height, scale);
    steps.push(`scale=${scaledWidth}:${scaledHeight}:flags=lanczos+accurate_rnd`);
  }
  steps.push('format=yuv420p');
  if (smooth > 1) {
    // minterpolate keeps its last input frame to itself: one copy more of it makes the count exact. Scene-change
    // detection would drop interpolation wherever motion is fast; a clip of ours has one scene.
    steps.push('tpad=stop=1:stop_mode=clone');
    steps.push(
      `minterpolate=fps=${numerator * smooth}/${denominator}:mi_mode=mci:mc_mode=obmc:me_mode=bilat:me=epzs:scd=none`,
    );
  }
  const forwards = [...steps, 'setsar=1'].join(',');
  if (!loop) return forwards;
  // The way back is the clip without its first frame, reversed, without the then first frame.
  return (
    `${forwards},split[there][copy];` +
    '[copy]trim=start_frame=1,reverse,trim=start_frame=1,setpts=PTS-STARTPTS[back];' +
    // concat forgets the frame rate, and from ffmpeg 7 on the times of a segment whose rate is unknown drift.
    `[there][back]concat=n=2:v=1,setpts=N*${denominator}/(${numerator * smooth}*TB)`
  );
}

/** The nearest even sides of at least 2. */
function scaledSize(width: number, height: number, scale: number): readonly [number, number] {
  const side = (length: number) => Math.max(2, 2 * Math.round((length * scale) / 2));
  return [side(width), side(height)];
}

/** Threads per frame. x264 cuts a frame into as many slices; each costs a few bytes, and more than four gain little. */
const encoderThreads = Math.min(4, Math.max(2, availableParallelism()));

/** Looks like the source: 45 dB of PSNR with the preset below. */
export const defaultCrf = 17;

/** H.264 High, 4:2:0, bt709, index first, no sound: what Discord, Telegram, phones and browsers play inline. */
export function encoderOptions(
  crf: number,
  [numerator, denominator]: readonly [number, number],
  /** "medium" where bytes are scarce. */
  preset: 'veryfast' | 'medium' = 'veryfast',
): string[] {
  return [
    ...['-r', `${numerator}/${denominator}`],
    ...[
      '-c:v',
      'libx264',
      '-preset',
      preset,
      '-profile:v',
      'high',
      '-crf',
      String(crf),
      '-pix_fmt',
      'yuv420p',
    ],
    // The user waits for the work that x264 does after the last frame; before, it competes with a model on the CPU. Clips
    // are shorter than its usual look-ahead, which would delay all work to the end. So: a look-ahead of two frames, single
    // B frames, and threads that share a frame. Compared with "medium" at crf 18 that is a third of the work and of the
    // wait, for a quarter more bytes (94 instead of 74 kB) at the same PSNR.
    ...['-rc-lookahead', '2', '-bf', '1', '-x264-params', `sliced-threads=1:threads=${encoderThreads}`],
    ...['-colorspace', 'bt709', '-color_primaries', 'bt709', '-color_trc', 'bt709', '-color_range', 'tv'],
    ...['-movflags', '+faststart', '-f', 'mp4'],
  ];
}
