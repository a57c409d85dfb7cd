/**
 * What a job may become when memory runs out: which versions there are, and what the job is then. Knows no engine.
 */
import type { PackManifest } from '../inference/packs/manifest.ts';
import { describeRequest, type ResolvedRequest, smallerRequests } from '../request/resolve.ts';
import type { EngineJob, SmallerJob } from './protocol.ts';

/** @param embedMetadata whether prompt, seed and parameters are written into the MP4 */
export function smallerJobs(
  manifest: PackManifest,
  request: ResolvedRequest,
  embedMetadata: boolean,
): SmallerJob[] {
  return smallerRequests(manifest, request).map((smaller) => {
    const { preset, width, height, numFrames, numInferenceSteps, decodeChunkSize } = smaller;
    const metadata = embedMetadata ? { metadata: describeRequest(smaller, manifest) } : {};
    return { preset, width, height, numFrames, numInferenceSteps, decodeChunkSize, ...metadata };
  });
}

/** The job in its next smaller version, and that version's name; undefined when there is none left. */
export function shrink(job: EngineJob): { readonly job: EngineJob; readonly preset: string } | undefined {
  const [next, ...smaller] = job.smaller ?? [];
  if (!next) return undefined;
  const { preset, ...numbers } = next;
  return { job: { ...job, ...numbers, smaller }, preset };
}
