/**
 * The temporary files of a job, by a rule that parent and child share: whoever survives can remove what a killed child
 * left behind. Knows nothing of what is in them.
 */
import { createHash } from 'node:crypto';
import { temporaryFilesOf, temporaryName } from '../video/output-file.ts';
import type { EngineJob } from './protocol.ts';

/** Where the MP4 grows. The same for the same job and path, and safe as a file name whatever the job's id holds. */
export function temporaryVideo({ id, outPath }: Pick<EngineJob, 'id' | 'outPath'>): string {
  return temporaryName(outPath, createHash('sha256').update(id).digest('hex').slice(0, 12));
}

/** Every temporary file that a job may have on disk. */
export function temporaryFiles(job: Pick<EngineJob, 'id' | 'outPath'>): readonly string[] {
  return temporaryFilesOf(temporaryVideo(job));
}
