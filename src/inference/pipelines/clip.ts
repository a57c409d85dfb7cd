/** What a clip of any family needs to know of its request and its pack. */
import { createHash } from 'node:crypto';
import type { GenerateRequest } from '../image-to-video.ts';
import type { PackManifest } from '../packs/manifest.ts';
import type { OpenPack } from '../packs/open.ts';
import type { ClipShape } from '../residency/memory-plan.ts';
import type { SessionMs } from './run.ts';

export function clipShape(request: GenerateRequest): ClipShape {
  const { width, height, numFrames, guidanceScale, guidanceEnd, decodeChunkSize, featureReuse } = request;
  const usesShallowCore = featureReuse > 1;
  const batch = guidanceScale > 1 ? 2 : 1;
  const endsGuidance = batch === 2 && guidanceEnd > 0 && guidanceEnd < 1;
  return { width, height, numFrames, batch, decodeChunkSize, usesShallowCore, endsGuidance };
}

/** Stands for the weights in cache keys, so that entries of another pack are never found. */
export function fingerprint(manifest: PackManifest): string {
  const hash = createHash('sha256').update(manifest.id);
  for (const file of manifest.files) hash.update(`\n${file.path} ${file.sha256}`);
  return hash.digest('hex');
}

export function sessionMs({ sessions }: OpenPack): SessionMs {
  const all = Object.values(sessions);
  return {
    runMs: all.reduce((sum, session) => sum + session.runMs, 0),
    openMs: all.reduce((sum, session) => sum + session.openMs, 0),
  };
}
