/** The last frame of an MP4, as whoever has the file alone would take it. */
import { execFileSync } from 'node:child_process';
import type { RgbImage } from '../../src/inference/image-to-video.ts';
import { readMp4Info } from '../../src/video/mp4.ts';

export async function lastFrame(file: string, ffmpegPath: string): Promise<RgbImage> {
  const { width, height, numFrames } = await readMp4Info(file);
  const filter = `select='eq(n,${numFrames - 1})',scale=in_color_matrix=bt709:flags=bicubic+accurate_rnd+full_chroma_int`;
  const output = ['-vsync', '0', '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-'];
  const data = execFileSync(ffmpegPath, ['-v', 'error', '-i', file, '-vf', filter, ...output], {
    maxBuffer: 64 * 1024 * 1024,
  });
  return { width, height, data };
}
