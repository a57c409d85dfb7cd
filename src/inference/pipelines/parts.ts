/** Parts that every pack of the family has: each function returns one or refuses the pack. Knows no family. */
import { KinoraError } from '../../errors.ts';
import type { Outputs } from '../sessions/session.ts';
import type { ByteTensor, FloatTensor } from '../sessions/tensor.ts';

/** @throws KinoraError PACK_INVALID */
export function pick(outputs: Outputs, name: string): FloatTensor {
  const { data, dims } = present(outputs[name]);
  return { data: present(data instanceof Float32Array ? data : undefined), dims };
}

/** @throws KinoraError PACK_INVALID */
export function pickBytes(outputs: Outputs, name: string): ByteTensor {
  const { data, dims } = present(outputs[name]);
  return { data: present(data instanceof Uint8Array ? data : undefined), dims };
}

/** @throws KinoraError PACK_INVALID */
export function present<T>(part: T | undefined): T {
  if (!part) throw new KinoraError('PACK_INVALID', 'The model pack lacks a part that its family has.');
  return part;
}
