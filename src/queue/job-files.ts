/** The names of a job's files and notes, in whatever folder they lie, and what makes a folder Kinora's own. */
import { join } from 'node:path';
import { type JobRequest, jobIdSchema } from './jobs.ts';

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
  /**
   * Entries of the latent cache, where workers have no folder together: of the clip itself, of the one that it extends, and of
   * the one that it varies.
   */
  latents: 'latents',
  earlierLatents: 'earlier.latents',
  variedLatents: 'varied.latents',
  /** The video smoothed or looped, once somebody asked for that. */
  smooth: 'smooth.mp4',
  loop: 'loop.mp4',
} as const;

export type JobFile = keyof typeof fileNames;

/** What is written down about a job, beside its files. */
export const noteNames = {
  record: 'artifact.json',
  accepted: 'accepted.json',
  answered: 'answered.json',
  called: 'called',
} as const;

const noteNameSet: ReadonlySet<string> = new Set(Object.values(noteNames));
/** Whether a file of this name makes its folder that of a job, whatever else lies there. */
export const isNoteName = (name: string): boolean => noteNameSet.has(name) && name !== noteNames.called;

const ownNames: ReadonlySet<string> = new Set([...Object.values(fileNames), ...Object.values(noteNames)]);
/** Names under which one of these is written: those of files put as a whole, and those of the video writer. */
const temporaryNames = [/^(.+?)(?:\.\d+)?\.(?:part|tmp)$/, /^\.(.+)\.kinora-[^/]*$/];

/** Whether Kinora writes a file under this name before it has its own. */
export const isTemporaryName = (name: string): boolean =>
  temporaryNames.some((temporary) => ownNames.has(temporary.exec(name)?.[1] ?? ''));

/** Whether Kinora gives files in the folder of a job, or of an upload, this name. */
export const isJobFileName = (name: string): boolean => ownNames.has(name) || isTemporaryName(name);

/** Whether Kinora gives folders such a name: that of a job, or of an upload. Others may do so, too. */
export const isOwnFolder = (folder: string): boolean => jobIdSchema.safeParse(folder).success;

/** What is read when a job is made. */
export function neededFiles({ hasMask, generation }: Pick<JobRequest, 'hasMask' | 'generation'>): JobFile[] {
  return [
    'image',
    ...(hasMask ? (['mask'] as const) : []),
    ...(generation.extension ? (['earlier', 'earlierThumbnail'] as const) : []),
  ];
}

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
    latents: path('latents'),
    earlierLatents: path('earlierLatents'),
    variedLatents: path('variedLatents'),
    smooth: path('smooth'),
    loop: path('loop'),
  };
}
