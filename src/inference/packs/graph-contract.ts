/**
 * The inputs and outputs that the graphs of the I2VGen-XL family have: names, types and shapes, by the pack's manifest.
 * Checked when a pack is opened, because a pack may come from anywhere.
 */
import path from 'node:path';
import { KinoraError } from '../../errors.ts';
import { hasShallowCore } from '../../request/model-limits.ts';
import type { TensorSpec } from '../sessions/tensor.ts';
import { type GraphName, shallowCore } from './graphs.ts';
import type { PackManifest } from './manifest.ts';

/** Name, inputs and outputs of a graph, as its session reports them. */
export interface GraphSpec {
  readonly name: GraphName;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/**
 * Inputs of unet_cond that some packs have. Without `encoder_hidden_states` it depends on the picture alone, and the cores
 * read the text. `frame_positions` (F) are 0 … 1, and image_latents is the picture alone then. `draws` (1, drawsPerClip)
 * decide what the prompt leaves open: such a pack needs no noise.
 */
const optionalInputs = ['encoder_hidden_states', 'frame_positions', 'draws'] as const;
type OptionalInput = (typeof optionalInputs)[number];
export type OptionalInputs = ReadonlySet<OptionalInput>;

/** Of a pack whose unet_cond takes them: one half for the clip's course, one for its details. */
export const drawsPerClip = 64;

export function optionalInputsOf({ inputs }: GraphSpec): OptionalInputs {
  return new Set(optionalInputs.filter((wanted) => inputs.some(({ name }) => name === wanted)));
}

/**
 * Compares the sessions of the pack in `folder` with what the family and its manifest promise.
 * @throws KinoraError PACK_INVALID naming file and mismatch
 */
export function checkSessions(
  folder: string,
  manifest: PackManifest,
  sessions: readonly GraphSpec[],
  optional: OptionalInputs,
): void {
  const sizes = new Map<string, number>();
  const shapes = familyShapes(manifest, optional);
  for (const session of sessions) {
    const expected = shapes[session.name];
    if (!expected) continue;
    const file = path.join(folder, session.name, 'model.onnx');
    checkSide(file, 'input', session.inputs, expected.in, sizes, manifest);
    checkSide(file, 'output', session.outputs, expected.out, sizes, manifest);
  }
}

/** Fixed sizes are numbers, free ones null; a letter must have the same fixed size wherever it is fixed. */
type Shape = readonly (number | string | null)[];

interface GraphShapes {
  readonly in: Readonly<Record<string, Shape>>;
  readonly out: Readonly<Record<string, Shape>>;
}

function familyShapes(
  manifest: PackManifest,
  optional: OptionalInputs,
): Partial<Record<GraphName, GraphShapes>> {
  const { latentChannels: c, maxTokens: t, imageEncoderSize: s } = manifest.architecture;
  const text: Readonly<Record<string, Shape>> = { encoder_hidden_states: [null, t, 'D'] };
  const isTextInContext = optional.has('encoder_hidden_states');
  const hasPositions = optional.has('frame_positions');
  // Inputs that are the same for both rows of guidance have one row.
  const coreInputs: Readonly<Record<string, Shape>> = {
    sample: [1, c, null, null, null],
    timestep: [1],
    ...(isTextInContext ? {} : text),
    fps_emb: [1, 'F'],
    context: [null, null, 'X'],
    image_latents_enc: ['R', null, null, null, null],
    factors: [null],
  };
  const coreOutputs = { out_sample: [1, c, null, null, null] };
  // The layout is the pack's own choice; the output of one core must fit the input of the other.
  const deepFeatures = { deep_features: ['K', 'L', 'M', 'N'] };
  const hasShallow = hasShallowCore(manifest);
  return {
    text_encoder: { in: { input_ids: [null, t] }, out: { prompt_embeds: [null, t, 'D'] } },
    image_encoder: { in: { pixel_values: [1, 3, s, s] }, out: { image_embeds: [1, 'E'] } },
    vae_encoder: { in: { sample: [1, 3, null, null] }, out: { moments: [null, 2 * c, null, null] } },
    unet_cond: {
      in: {
        fps: [1],
        image_latents: [1, c, hasPositions ? 1 : null, null, null],
        image_embeddings: [null, 1, 'E'],
        ...(isTextInContext ? text : {}),
        ...(hasPositions ? { frame_positions: [null] } : {}),
        ...(optional.has('draws') ? { draws: [1, drawsPerClip] } : {}),
      },
      out: {
        fps_emb: [1, 'F'],
        context: [null, null, 'X'],
        image_latents_enc: ['R', null, null, null, null],
      },
    },
    unet_core: { in: coreInputs, out: hasShallow ? { ...coreOutputs, ...deepFeatures } : coreOutputs },
    ...(hasShallow ? { [shallowCore]: { in: { ...coreInputs, ...deepFeatures }, out: coreOutputs } } : {}),
    vae_decoder: {
      in: { latent: [null, c, null, null] },
      // The pipeline uses rgb. Tests compare samples. The mean is finite only if the whole sample is.
      out: { sample: [null, 3, null, null], rgb: [null, null, null, 3], mean: [] },
    },
  };
}

const integerInputs: ReadonlySet<string> = new Set(['input_ids', 'fps', 'timestep']);

/** deep_features has the precision of the UNet's activations; almost all other tensors are float32 or integers. */
function typeOf(name: string, { flavour }: PackManifest): string {
  if (name === 'deep_features' && flavour === 'cuda') return 'float16';
  if (name === 'rgb') return 'uint8';
  return integerInputs.has(name) ? 'int64' : 'float32';
}

function checkSide(
  file: string,
  side: 'input' | 'output',
  actual: readonly TensorSpec[],
  expected: Readonly<Record<string, Shape>>,
  sizes: Map<string, number>,
  manifest: PackManifest,
): void {
  const fail = (what: string): never => {
    throw new KinoraError('PACK_INVALID', `${file}: ${what}.`);
  };
  const names = actual.map((spec) => spec.name);
  const wanted = Object.keys(expected);
  if (names.length !== wanted.length || wanted.some((name) => !names.includes(name))) {
    const otherVersion = 'a pack of another version must be exported again';
    fail(`${side}s are ${names.join(', ')}, expected ${wanted.join(', ')}; ${otherVersion}`);
  }
  for (const { name, type, dims } of actual) {
    const shape = expected[name] ?? [];
    const wantedType = typeOf(name, manifest);
    if (type !== wantedType) fail(`${side} ${name} is ${type}, expected ${wantedType}`);
    if (dims.length !== shape.length)
      fail(`${side} ${name} has ${dims.length} dimensions, expected ${shape.length}`);
    shape.forEach((size, axis) => {
      const dim = dims[axis];
      if (size === null || typeof dim !== 'number' || dim < 0) return;
      const want = typeof size === 'number' ? size : (sizes.get(size) ?? dim);
      if (typeof size === 'string') sizes.set(size, want);
      if (dim !== want) fail(`${side} ${name} has size ${dim} on axis ${axis}, expected ${want}`);
    });
  }
}
