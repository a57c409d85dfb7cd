/** What happens to a job that runs out of memory: first less memory at a time, then a smaller clip. */
import { isKinoraError } from '../errors.ts';
import type { PackManifest } from '../inference/packs/manifest.ts';
import { describeRequest, type ResolvedRequest, smallerRequests } from '../request/resolve.ts';
import type { EngineJob, EngineResult, SmallerJob } from './protocol.ts';
import type { Engine, RunHooks } from './supervisor.ts';

/**
 * Runs the job. If memory runs out, the job is tried again in a fresh child with as little memory as possible, and then
 * as a smaller one, if it has any; the result names the smaller preset. Rejects with what Engine.run rejects with.
 */
export async function runWithinMemory(
  engine: Engine,
  job: EngineJob,
  hooks: Omit<RunHooks, 'leastMemory'> = {},
): Promise<EngineResult> {
  let attempt = job;
  let leastMemory = false;
  let reducedTo: string | undefined;
  for (;;) {
    let hasBegun = false;
    try {
      const result = await engine.run(attempt, {
        ...hooks,
        leastMemory,
        onProgress: (event) => {
          if (event.phase !== 'loading') hasBegun = true;
          hooks.onProgress?.(event);
        },
      });
      return reducedTo === undefined ? result : { ...result, reducedTo };
    } catch (error) {
      if (!isKinoraError(error) || error.code !== 'OUT_OF_MEMORY') throw error;
      if (!hasBegun && engine.status().state === 'dead') throw error; // the model itself does not fit
      if (hasBegun && !leastMemory) {
        engine.logger.warn({ jobId: job.id }, 'out of memory: once more with as little as possible');
        leastMemory = true;
        continue;
      }
      // A job that was refused before any work may try every smaller version; one that failed at work gets one.
      const [next, ...smaller] = attempt.smaller ?? [];
      if (!next || (hasBegun && reducedTo !== undefined)) throw error;
      const { preset, ...numbers } = next;
      engine.logger.warn({ jobId: job.id, preset }, 'out of memory: once more as a smaller clip');
      attempt = { ...attempt, ...numbers, smaller };
      reducedTo = preset;
    }
  }
}

/**
 * The smaller versions of a job, largest first.
 * @param embedMetadata whether prompt, seed and parameters are written into the MP4
 */
export function smallerJobs(
  manifest: PackManifest,
  request: ResolvedRequest,
  embedMetadata: boolean,
): SmallerJob[] {
  return smallerRequests(manifest, request).map((smaller) => {
    const { preset, width, height, numFrames, numInferenceSteps, decodeChunkSize, passage } = smaller;
    const metadata = embedMetadata ? { metadata: describeRequest(smaller, manifest) } : {};
    return { preset, width, height, numFrames, numInferenceSteps, decodeChunkSize, passage, ...metadata };
  });
}
