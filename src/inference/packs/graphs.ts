/** The ONNX graphs of model packs, by the names of their folders. Imports nothing. */

/** Those of every family. */
export const commonGraphs = [
  'image_encoder',
  'vae_encoder',
  'unet_cond',
  'unet_core',
  'vae_decoder',
] as const;
export type CommonGraph = (typeof commonGraphs)[number];

/** The second core, which a pack may have: hasShallowCore in request/model-limits.ts. */
export const shallowCore = 'unet_shallow';

export const graphNames = ['text_encoder', ...commonGraphs, shallowCore] as const;
export type GraphName = (typeof graphNames)[number];
