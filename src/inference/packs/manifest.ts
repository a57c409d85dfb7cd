/**
 * `kinora.json`, the manifest at the root of every model pack: name, files, and the numbers that the pipeline needs but
 * cannot read from the ONNX graphs. Written by models/export and models/train. A pack may come from anywhere, so every
 * number has a bound, far above those of real packs: a hostile manifest cannot claim endless memory.
 */
import { z } from 'zod';
import { hasShallowCore } from '../../request/model-limits.ts';
import type { FamilyParts } from './family-parts.ts';
import { type GraphName, shallowCore } from './graphs.ts';
import { i2vgenXl, i2vgenXlManifestSchema } from './i2vgen-xl.ts';
import { svd, svdManifestSchema } from './svd.ts';

const familySchema = z.discriminatedUnion('family', [i2vgenXlManifestSchema, svdManifestSchema]);

export type PackManifest = z.infer<typeof familySchema>;

/** What the packs of the manifest's family consist of. */
export function partsOf(manifest: PackManifest): FamilyParts {
  switch (manifest.family) {
    case 'i2vgen-xl':
      return i2vgenXl(manifest);
    case 'svd':
      return svd(manifest);
  }
}

export const packManifestSchema = familySchema.superRefine((manifest, context) => {
  const complain = (path: readonly string[], message: string): void =>
    context.addIssue({ code: 'custom', path: [...path], message });
  const { architecture, sizeMultiple, files } = manifest;
  if (sizeMultiple % architecture.vaeScaleFactor !== 0) {
    complain(['sizeMultiple'], `expected a multiple of vaeScaleFactor, ${architecture.vaeScaleFactor}`);
  }
  const { graphs, otherFiles, contradictions } = partsOf(manifest);
  for (const { path, message } of contradictions) complain(path, message);
  const paths = new Set(files.map((file) => file.path));
  if (paths.size !== files.length) complain(['files'], 'a path is listed twice');
  for (const path of [...graphs.map((graph) => `${graph}/model.onnx`), ...otherFiles]) {
    if (!paths.has(path)) complain(['files'], `${path} is not listed`);
  }
});

export function graphsOf(manifest: PackManifest): readonly GraphName[] {
  const { graphs } = partsOf(manifest);
  return hasShallowCore(manifest) ? [...graphs, shallowCore] : graphs;
}
