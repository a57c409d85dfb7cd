/** What the graphs of each family take of a GPU's memory: numbers that memory-plan.ts reckons with. */
import type { GraphName } from '../packs/graphs.ts';

const mebibyte = 1024 ** 2;

export interface GraphMemory {
  /** Of the graph that was measured. The width of another model is estimated by the square root of the ratio. */
  readonly parameters: number;
  /** Handles and workspaces of its session, where they differ from the usual sessionBytes. */
  readonly sessionBytes?: number;
  /** Activations of a run in FP16 are fixedBytes + units × (bytesPerUnit + bytesPerUnitAndCell × cells), in float32 twice that. */
  readonly fixedBytes: number;
  /** Units: latent cells × frames × batch for the UNet, pixels × frames of the chunk for the VAE. */
  readonly bytesPerUnit: number;
  /** Cells: latent cells of a frame. Attention within frames grows with them. */
  readonly bytesPerUnitAndCell?: number;
  /** True where few tensors are as large as the frames: the arena doubles its regions, and up to half stays unused. */
  readonly inPowersOfTwo?: boolean;
  /** In fused packs, too. */
  readonly isFloat32?: boolean;
}

export const measuredMemory = {
  /** CUDA context and libraries, once per process. */
  contextBytes: 450 * mebibyte,
  /** Handles and workspaces of cuBLAS and cuDNN, per open session. */
  sessionBytes: 300 * mebibyte,
  /** Share of the budget that plans may fill; the arenas need the rest for rounding up. */
  usableShare: 0.96,
};

/**
 * I2VGen-XL in fused FP16 without memory pattern, measured on an H100 by nvidia-smi's number for the process. The
 * coefficients of the text and image encoder and of unet_cond are the rest of whole jobs: 8.9 GiB (512x512x16, all open
 * but the VAE, chunk 1), 12.5 (768x768x24, encoders and VAE on demand, chunk 2).
 */
export const i2vgenXlMemory: Readonly<Record<GraphName, GraphMemory>> = {
  text_encoder: { parameters: 354e6, fixedBytes: 128 * mebibyte, bytesPerUnit: 0 },
  image_encoder: { parameters: 632e6, fixedBytes: 400 * mebibyte, bytesPerUnit: 0 },
  vae_encoder: { parameters: 34e6, fixedBytes: 0, bytesPerUnit: 2048, sessionBytes: 140 * mebibyte },
  unet_cond: { parameters: 20e6, fixedBytes: 32 * mebibyte, bytesPerUnit: 500 },
  // Batch 2, with the context: 4.7 GiB (512x512x16), 8.7 (768x768x24), 19.7 (1024x1024x32).
  unet_core: {
    parameters: 1.4e9,
    fixedBytes: 256 * mebibyte,
    bytesPerUnit: 6500,
    bytesPerUnitAndCell: 0.62,
  },
  // Layers of the core at full resolution, and the features that it takes, in float32.
  unet_shallow: {
    parameters: 17e6,
    fixedBytes: 64 * mebibyte,
    bytesPerUnit: 9500,
    bytesPerUnitAndCell: 0.62,
  },
  // With the context: 0.67 GiB and 0.5 for each frame of 512x512; of 768x768 2.67, 3.67, 7.67, 15.67 for 1, 2, 4, 8.
  vae_decoder: {
    parameters: 50e6,
    sessionBytes: 140 * mebibyte,
    fixedBytes: 0,
    bytesPerUnit: 2048,
    inPowersOfTwo: true,
  },
};

/**
 * Stable Video Diffusion, by the coefficients of I2VGen-XL where nothing else is said. Its cond knows no cells, and it and
 * the encoder of the VAE stay in float32. Measured on an H200 at 1024x576, beside the context and what an open session
 * takes: the core with 25 frames 5.2 GiB and with one row 2.2, with 14 frames 2.2 and 1.2; the decoder 2.8, 7.8 and 14.8
 * GiB with 2, 7 and 14 frames. For the core with 14 frames the coefficients of I2VGen-XL give 3.2
 * GiB: they are kept, since packs of version 0.3 took 3.1.
 */
export const svdMemory: Readonly<Record<GraphName, GraphMemory>> = {
  ...i2vgenXlMemory,
  vae_encoder: { ...i2vgenXlMemory.vae_encoder, isFloat32: true },
  unet_cond: { parameters: 152e6, fixedBytes: 32 * mebibyte, bytesPerUnit: 0, isFloat32: true },
  unet_core: { ...i2vgenXlMemory.unet_core, parameters: 1.32e9 },
  vae_decoder: { ...i2vgenXlMemory.vae_decoder, parameters: 64e6 },
};
