/** The manifest that an exported img2vid-xt would have; its files are named, not there. */
import { packManifestSchema } from '../../src/inference/packs/manifest.ts';
import type { SvdManifest } from '../../src/inference/packs/svd.ts';

const graphs = ['image_encoder', 'vae_encoder', 'unet_cond', 'unet_core', 'vae_decoder'];
const preset = (size: number, numFrames: number, numInferenceSteps: number, guidanceScale: number) => ({
  ...{ size, numFrames, numInferenceSteps, guidanceScale },
});

export const svdJson = {
  kinora: 1,
  id: 'svd-xt-fp16',
  title: 'Stable Video Diffusion XT',
  family: 'svd',
  flavour: 'plain',
  licence: 'Weights: Stability AI Community License (see models/README.md)',
  source: 'not there',
  attribution: 'Powered by Stability AI',
  architecture: {
    latentChannels: 4,
    vaeScaleFactor: 8,
    vaeScalingFactor: 0.18215,
    imageEncoderSize: 224,
    imageMean: [0.48145466, 0.4578275, 0.40821073],
    imageStd: [0.26862954, 0.26130258, 0.27577711],
    trainedFrames: 25,
  },
  sizeMultiple: 64,
  limits: {
    side: { min: 256, max: 1024 },
    pixels: { min: 65_536, max: 589_824 },
    numFrames: { min: 8, max: 25 },
    numInferenceSteps: { min: 1, max: 100 },
    guidanceScale: { min: 1, max: 6 },
    targetFps: { min: 5, max: 30 },
    motionBucket: { min: 1, max: 255 },
    noiseAug: { min: 0, max: 0.5 },
  },
  motionBuckets: { low: 60, medium: 127, high: 180 },
  defaults: {
    ...{ scheduler: 'euler', fps: 7, targetFps: 7, noiseAug: 0.02, minGuidance: 1 },
    ...{ decodeChunkSize: 7, decodeOverlap: 2 },
  },
  presets: {
    fast: preset(512, 14, 20, 3),
    standard: preset(640, 25, 25, 3),
    high: preset(768, 25, 30, 3),
    creative: { ...preset(640, 25, 25, 2.5), motion: 'high' },
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
