/**
 * The temporary files of a job, by a rule that parent and child share: whoever survives can remove what a killed child
 * left behind. Knows nothing of what is in them.
 */
import { createHash } from 'node:crypto';
import { temporaryName } from '../../video/output-file.ts';
import type { EngineJob } from './protocol.ts';

/** Where the MP4 grows. The same for the same job and path, and safe as a file name whatever the job's id holds. */
export function temporaryVideo({ id, outPath }: Pick<EngineJob, 'id' | 'outPath'>): string {
  return temporaryName(outPath, createHash('sha256').update(id).digest('hex').slice(0, 12));
}

/** Every temporary file that a job may have on disk; the second is the encoder's while it fits a byte budget. */
export function temporaryFiles(job: Pick<EngineJob, 'id' | 'outPath'>): string[] {
  const video = temporaryVideo(job);
  return [video, `${video}.fit`];
}
