/** What a pack must have by its family, or a sentence. Knows no family. */
import { KinoraError } from '../../errors.ts';
import type { FloatTensor } from '../tensor.ts';

/** @throws KinoraError PACK_INVALID */
export function pick(outputs: Readonly<Record<string, FloatTensor>>, name: string): FloatTensor {
  return present(outputs[name]);
}

/** @throws KinoraError PACK_INVALID */
export function present<T>(part: T | undefined): T {
  if (!part) throw new KinoraError('PACK_INVALID', 'The model pack lacks a part that its family has.');
  return part;
}
