/** The manifest that an exported img2vid-xt has; its files are named, not there. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { packManifestSchema } from '../../src/inference/packs/manifest.ts';
import type { SvdManifest } from '../../src/inference/packs/svd.ts';

const cardsFile = path.resolve(import.meta.dirname, '../golden/svd/cards.json');
const graphs = ['image_encoder', 'vae_encoder', 'unet_cond', 'unet_core', 'vae_decoder'];
const preset = z.looseObject({ size: z.number(), numFrames: z.number() });
const card = z.looseObject({
  motionBuckets: z.record(z.string(), z.number()),
  defaults: z.record(z.string(), z.unknown()),
  presets: z.strictObject({ fast: preset, standard: preset, high: preset, creative: preset }),
});

/** What the exporter writes of each of the published weights, by id. */
export const svdCards = z.record(z.string(), card).parse(JSON.parse(readFileSync(cardsFile, 'utf8')));

const { 'svd-xt': xt } = svdCards;
if (!xt) throw new Error(`${cardsFile} does not have svd-xt`);

export const svdJson = {
  ...xt,
  kinora: 1,
  id: 'svd-xt-fp16',
  flavour: 'plain',
  architecture: {
    latentChannels: 4,
    vaeScaleFactor: 8,
    vaeScalingFactor: 0.18215,
    imageEncoderSize: 224,
    imageMean: [0.48145466, 0.4578275, 0.40821073],
    imageStd: [0.26862954, 0.26130258, 0.27577711],
    trainedFrames: 25,
  },
  files: [...graphs.map((graph) => `${graph}/model.onnx`), 'scheduler/scheduler_config.json'].map((path) => ({
    path,
    bytes: 1,
    sha256: '0'.repeat(64),
  })),
};

export function svdManifest(changes: Readonly<Record<string, unknown>> = {}): SvdManifest {
  const manifest = packManifestSchema.parse({ ...svdJson, ...changes });
  if (manifest.family !== 'svd') throw new Error('of another family');
  return manifest;
}
