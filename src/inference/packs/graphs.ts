/** The ONNX graphs of an I2VGen-XL pack, by the names of their folders. Imports nothing. */

export const requiredGraphs = [
  'text_encoder',
  'image_encoder',
  'vae_encoder',
  'unet_cond',
  'unet_core',
  'vae_decoder',
] as const;
export type RequiredGraph = (typeof requiredGraphs)[number];

/** The second core, which a pack may have: hasShallowCore in request/model-limits.ts. */
export const shallowCore = 'unet_shallow';

export const graphNames = [...requiredGraphs, shallowCore] as const;
export type GraphName = (typeof graphNames)[number];
