/**
 * The temporary files of a job, by a rule that parent and child share: whoever survives can remove what a killed child
 * left behind. Knows nothing of what is in them.
 */
import { createHash } from 'node:crypto';
import type { EngineJob } from './protocol.ts';

type JobPaths = Pick<EngineJob, 'id' | 'outPath' | 'thumbnailPath'>;

/** A job id as part of a file name: short, and safe whatever the id holds. */
export function jobTag(jobId: string): string {
  return createHash('sha256').update(jobId).digest('hex').slice(0, 12);
}

/** Every file that a job may have on disk besides its finished MP4 and thumbnail. */
export function temporaryFiles(job: JobPaths): string[] {
  const tag = jobTag(job.id);
  return [
    `${job.outPath}.${tag}.part.mp4`,
    ...(job.thumbnailPath === undefined ? [] : [`${job.thumbnailPath}.${tag}.part.jpg`]),
  ];
}
