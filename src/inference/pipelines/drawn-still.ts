/**
 * What a drawn clip shows where a mask lets nothing move: its picture, drawn without any words. The first frame will not do,
 * since weather is on it, too. Knows no session.
 */
import type { GenerateRequest } from '../image-to-video.ts';
import type { OpenPack } from '../packs/open.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import type { Conditioning, Drawing } from './conditioning.ts';
import { type CameraView, cameraStart, viewOf } from './continued-camera.ts';
import { decodeChunk, takeFrames } from './decode-frames.ts';

type Masked = Pick<GenerateRequest, 'motionWeights' | 'extension'>;

export interface EarlierStill {
  /** Of an extension: what its earlier clip shows where nothing may move. */
  readonly still?: CameraView;
}

/** Whether stillView() will give one. */
export function hasStill(
  pack: OpenPack,
  { motionWeights, extension }: Masked,
  { still }: EarlierStill,
): boolean {
  if (!motionWeights) return false;
  return extension ? still !== undefined : pack.optionalInputs.has('frame_views');
}

/**
 * What the camera sees of it: what it sees first, or what it went on seeing in the earlier clip. Undefined without a mask,
 * and where nobody knows.
 */
export function stillView(
  { motionWeights, extension }: Masked,
  { still }: EarlierStill,
  { cameraPath }: Conditioning,
): CameraView | undefined {
  if (!motionWeights) return undefined;
  return extension ? still : cameraPath && cameraStart(cameraPath);
}

/**
 * @param latentsOf (1, C, 1, h, w) of a drawing without words
 * @returns pixels of a frame
 */
export async function drawStill(
  { sessions, manifest }: OpenPack,
  { width, height }: Pick<GenerateRequest, 'width' | 'height'>,
  view: CameraView,
  latentsOf: (drawing: Drawing) => Promise<FloatTensor>,
): Promise<Uint8Array> {
  const latents = await latentsOf({ positions: Float32Array.of(0), views: viewOf(view) });
  const latent = takeFrames(latents, 0, 1, 1 / manifest.architecture.vaeScalingFactor);
  return await decodeChunk(sessions.vae_decoder, latent, [1, height, width]);
}
