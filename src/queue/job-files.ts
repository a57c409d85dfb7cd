/** The names of a job's files, in whatever folder they lie. */
import { join } from 'node:path';

export const fileNames = {
  /** As it was received; may be hostile. */
  image: 'picture',
  /** A picture that shows what may move, where the request has one; may be hostile, too. */
  mask: 'mask',
  video: 'video.mp4',
  thumbnail: 'thumbnail.jpg',
  /** Of an extension: the video that it continues, and its thumbnail. */
  earlier: 'earlier.mp4',
  earlierThumbnail: 'earlier.jpg',
  /** The video smoothed or looped, once somebody asked for that. */
  smooth: 'smooth.mp4',
  loop: 'loop.mp4',
} as const;

export type JobFile = keyof typeof fileNames;

/** Paths in one folder of this machine. */
export type JobFiles = Readonly<Record<JobFile, string>> & { readonly folder: string };

/** Paths only; nothing is created. */
export function jobFilesIn(folder: string): JobFiles {
  const path = (file: JobFile): string => join(folder, fileNames[file]);
  return {
    folder,
    image: path('image'),
    mask: path('mask'),
    video: path('video'),
    thumbnail: path('thumbnail'),
    earlier: path('earlier'),
    earlierThumbnail: path('earlierThumbnail'),
    smooth: path('smooth'),
    loop: path('loop'),
  };
}
