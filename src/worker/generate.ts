/** Joins the queue's worker to the engine: one ledger entry becomes one engine job. Knows no Redis and no platform. */

import { runWithinMemory, smallerJobs } from '../engine/memory-ladder.ts';
import type { EngineJob } from '../engine/protocol.ts';
import type { Engine } from '../engine/supervisor.ts';
import { KinoraError } from '../errors.ts';
import type { Pack } from '../inference/packs/files.ts';
import { readImageHeader } from '../inference/pictures/header.ts';
import type { JobFiles } from '../queue/job-files.ts';
import { artifactSchema } from '../queue/jobs.ts';
import type { LedgerEntry } from '../queue/ledger.ts';
import type { Generation, Shortcuts } from '../request/request.ts';
import { describeRequest, resolveRequest } from '../request/resolve.ts';
import { PhaseTimes } from './phase-times.ts';
import type { Generate } from './worker.ts';

/**
 * @param packs those that the engine was started with, in their order
 * @param embedMetadata whether prompt, seed and parameters are written into the MP4
 * @param shortcuts what the operator gives up for speed
 */
export function engineGenerate(
  engine: Engine,
  packs: readonly Pack[],
  embedMetadata: boolean,
  shortcuts: Shortcuts = {},
): Generate {
  const times = new Map(packs.map(({ manifest }) => [manifest.id, new PhaseTimes()]));
  return async (entry, files, { signal, onProgress }) => {
    const pack = packs.find(({ manifest }) => entry.model === undefined || manifest.id === entry.model);
    if (!pack) throw new KinoraError('PACK_NOT_FOUND', `This worker does not have the model ${entry.model}.`);
    const job = await engineJob(entry, files, pack, embedMetadata, shortcuts);
    const withTimeLeft = times.get(pack.manifest.id)?.begin(job) ?? ((event) => event);
    const result = await runWithinMemory(engine, job, {
      signal,
      onProgress: (event) => onProgress(withTimeLeft(event)),
    });
    const { smallerRuns } = result;
    if (smallerRuns) {
      engine.logger.warn(
        { jobId: entry.id, smallerRuns },
        'memory was short: fewer frames were decoded at once',
      );
    }
    return artifactSchema.parse(result);
  };
}

function earlierVideo(
  { loop, smooth }: NonNullable<Generation['extension']>,
  { earlier: path, earlierThumbnail: thumbnailPath }: JobFiles,
): NonNullable<EngineJob['earlier']> {
  return { path, thumbnailPath, loop, smooth };
}

async function engineJob(
  entry: LedgerEntry,
  files: JobFiles,
  pack: Pack,
  embedMetadata: boolean,
  shortcuts: Shortcuts,
): Promise<EngineJob> {
  const { generation } = entry.request;
  // The engine decodes the picture, and refuses one that is damaged behind its header.
  const size = await readImageHeader(files.image);
  const request = resolveRequest(pack.manifest, { ...shortcuts, ...generation }, size);
  const { preset: _preset, ...numbers } = request;
  return {
    ...numbers,
    id: entry.id,
    model: pack.manifest.id,
    imagePath: files.image,
    ...(entry.request.hasMask ? { maskPath: files.mask } : {}),
    ...(generation.extension ? { earlier: earlierVideo(generation.extension, files) } : {}),
    outPath: files.video,
    thumbnailPath: files.thumbnail,
    ...(embedMetadata ? { metadata: describeRequest(request, pack.manifest) } : {}),
    smaller: smallerJobs(pack.manifest, request, embedMetadata),
  };
}
