/** The files of a job whose storage is a folder of this machine. */
import type { Answer } from '../../src/bot/upkeep/delivery.ts';
import type { Artifacts } from '../../src/queue/artifacts.ts';
import type { JobFiles } from '../../src/queue/job-files.ts';

export function filesOf(artifacts: Artifacts, jobId: string): JobFiles {
  const files = artifacts.inPlace(jobId);
  if (!files) throw new Error('the files do not lie on this machine');
  return files;
}

/** What an answer with a video has of its files. */
export function answerFiles(
  artifacts: Artifacts,
  jobId: string,
): Pick<Extract<Answer, { kind: 'video' }>, 'files' | 'takeCall'> {
  return {
    files: async () => filesOf(artifacts, jobId),
    takeCall: async () => await artifacts.takeCall(jobId),
  };
}
