/**
 * Compares the inputs and outputs of a pack's graphs with those that its family has: names, types and shapes, by the
 * pack's manifest. Done when a pack is opened, because a pack may come from anywhere.
 */
import path from 'node:path';
import { KinoraError } from '../../errors.ts';
import type { TensorSpec } from '../sessions/tensor.ts';
import type { Shape } from './family-parts.ts';
import type { GraphName } from './graphs.ts';
import { type PackManifest, partsOf } from './manifest.ts';

/** Name, inputs and outputs of a graph, as its session reports them. */
export interface GraphSpec {
  readonly name: GraphName;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

export type OptionalInputs = ReadonlySet<string>;

/** Those that this unet_cond has, of its family's. */
export function optionalInputsOf({ inputs }: GraphSpec, manifest: PackManifest): OptionalInputs {
  const { optionalInputs } = partsOf(manifest);
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
  const shapes = partsOf(manifest).shapes(optional);
  for (const session of sessions) {
    const expected = shapes[session.name];
    if (!expected) continue;
    const file = path.join(folder, session.name, 'model.onnx');
    checkSide(file, 'input', session.inputs, expected.in, sizes, manifest);
    checkSide(file, 'output', session.outputs, expected.out, sizes, manifest);
  }
}

/** deep_features has the precision of the UNet's activations; almost all other tensors are float32 or integers. */
function typeOf(name: string, manifest: PackManifest): string {
  if (name === 'deep_features' && manifest.flavour === 'cuda') return 'float16';
  if (name === 'rgb') return 'uint8';
  return partsOf(manifest).integerInputs.has(name) ? 'int64' : 'float32';
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
