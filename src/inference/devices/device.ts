/** The names of devices: "cpu", "webgpu", "cuda", "cuda:1", "tensorrt", "tensorrt:1". */
import { KinoraError } from '../../errors.ts';

export type DeviceKind = 'cpu' | 'cuda' | 'tensorrt' | 'webgpu';

export interface Device {
  readonly kind: DeviceKind;
  /** Number of the GPU, as CUDA counts; 0 for other devices. */
  readonly ordinal: number;
}

const pattern = /^(?:cpu|webgpu|(?:cuda|tensorrt)(?::(\d{1,2}))?)$/;

export function isDeviceName(name: string): boolean {
  return pattern.test(name);
}

/** Checks the form only. Throws KinoraError INVALID_OPTION. */
export function parseDevice(name: string): Device {
  const match = pattern.exec(name);
  if (!match) {
    throw new KinoraError(
      'INVALID_OPTION',
      `The device is "${name}"; expected cpu, cuda, cuda:N, tensorrt, tensorrt:N or webgpu.`,
    );
  }
  return { kind: name.split(':')[0] as DeviceKind, ordinal: Number(match[1] ?? 0) }; // by the pattern
}
