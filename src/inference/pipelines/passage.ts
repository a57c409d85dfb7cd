/**
 * Clips that pass along a picture much longer than their frames. Whether one does is a matter of its prompt, which only
 * the model can read. Knows no file.
 */
import { knownMotions } from '../../request/model-limits.ts';
import type { MotionKind } from '../../request/motions.ts';
import type { Passage } from '../../request/size.ts';
import type { GenerateRequest } from '../image-to-video.ts';
import { drawsPerClip } from '../packs/i2vgen-xl.ts';
import type { OpenPack } from '../packs/open.ts';
import type { FloatTensor } from '../sessions/tensor.ts';
import { frameSize } from './conditioning.ts';
import { pick, present } from './parts.ts';
import { readUnderstood } from './understood.ts';

const along: Readonly<Record<'width' | 'height', readonly MotionKind[]>> = {
  width: ['pan-left', 'pan-right'],
  height: ['tilt-up', 'tilt-down'],
};

/**
 * Whether the prompt moves the camera along the longer side of the picture. Reads it for one small frame of nothing, past
 * the cache, which would count the prompt as one that was known before.
 */
export async function passesAlong(
  { sessions, tokenizer, manifest, optionalInputs }: OpenPack,
  { prompt, targetFps }: Pick<GenerateRequest, 'prompt' | 'targetFps'>,
  { picture }: Passage,
): Promise<boolean> {
  const { latentChannels, vaeScaleFactor, imageEncoderSize } = manifest.architecture;
  const tokens = present(tokenizer).encode(prompt);
  const read = await present(sessions.text_encoder).run({
    input_ids: { data: tokens, dims: [1, tokens.length] },
  });
  const seen = await sessions.image_encoder.run({
    pixel_values: zeros(1, 3, imageEncoderSize, imageEncoderSize),
  });
  const { data: embedding } = pick(seen, 'image_embeds');
  const side = manifest.limits.side.min;
  const cells = side / vaeScaleFactor;
  const drawn = await sessions.unet_cond.run({
    fps: { data: BigInt64Array.of(BigInt(targetFps)), dims: [1] },
    image_latents: zeros(1, latentChannels, 1, cells, cells),
    image_embeddings: { data: embedding, dims: [1, 1, embedding.length] },
    encoder_hidden_states: pick(read, 'prompt_embeds'),
    frame_positions: zeros(1),
    frame_size: frameSize(side, side),
    ...(optionalInputs.has('draws') ? { draws: zeros(1, drawsPerClip) } : {}),
    ...(optionalInputs.has('frame_views') ? { frame_views: zeros(1, 4) } : {}),
    ...(optionalInputs.has('motion_mask') ? { motion_mask: zeros(1, 1, 1, 1) } : {}),
  });
  const { asked } = readUnderstood(knownMotions(manifest) ?? [], pick(drawn, 'context'));
  const moves = along[picture.width > picture.height ? 'width' : 'height'];
  return asked.some(({ motion }) => moves.includes(motion));
}

function zeros(...dims: readonly number[]): FloatTensor {
  return { data: new Float32Array(dims.reduce((product, size) => product * size, 1)), dims };
}
