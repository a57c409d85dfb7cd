/**
 * One ONNX session: opening it on a device, running it on plain tensors, and turning the runtime's errors into ours.
 * The runs happen in a thread of their own (thread.mjs). Knows no model.
 */
import type { InferenceSession } from 'onnxruntime-node';
import { KinoraError } from '../../errors.ts';
import { linkProviders } from '../devices/cuda-libraries.ts';
import { type DeviceKind, parseDevice } from '../devices/device.ts';
import { deviceTrouble, firstWords } from '../devices/device-trouble.ts';
import { type ByteTensor, buffersOf, type FloatTensor, type Tensor, type TensorSpec } from './tensor.ts';
import { askThread } from './thread-client.ts';
import type { OpenedSession, RunAnswer, ThreadTensor } from './thread-protocol.ts';

export interface SessionOptions {
  /** "cpu", "cuda", "cuda:1", "tensorrt", "webgpu". */
  readonly device: string;
  /** Threads inside one operator; 0 lets the runtime decide. */
  readonly threads: number;
  /**
   * On a CPU, each run's memory goes back to the system. Else it is kept for the next run: 5 to 15 % faster for graphs that
   * run again and again, and lost for one that runs once a clip.
   */
  readonly returnsMemory?: boolean;
}

/** CUDA runs the nodes that TensorRT cannot (attention of plain packs, graphs without an engine), on the same GPU. */
function providersOf(kind: DeviceKind, deviceId: number): InferenceSession.ExecutionProviderConfig[] {
  switch (kind) {
    case 'cuda':
      return [{ name: 'cuda', deviceId }];
    case 'tensorrt':
      return [
        { name: 'tensorrt', deviceId },
        { name: 'cuda', deviceId },
      ];
    default:
      return [kind];
  }
}

let lastKey = 0;

/** A view of a larger buffer would be copied with all of it. */
function withOwnMemory<T extends Tensor | ThreadTensor>(tensor: T): T {
  if (!('data' in tensor) || tensor.data.byteLength === tensor.data.buffer.byteLength) return tensor;
  return { ...tensor, data: tensor.data.slice() };
}

export type Outputs = Readonly<Record<string, FloatTensor | ByteTensor>>;

export interface RunOptions {
  /**
   * Memory for outputs of exactly these dims, instead of new memory; it comes back, filled, as the outputs, and is
   * detached, also when the run fails. An output for a thread tensor stays in the thread. When any output is named, only
   * those are fetched.
   */
  readonly into?: Readonly<Record<string, FloatTensor | ByteTensor | ThreadTensor>>;
}

export class OnnxSession {
  /** Used in errors: "unet_core". */
  readonly name: string;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly #device: string;
  readonly #key: number;
  #runMs = 0;

  private constructor(name: string, device: string, key: number, { inputs, outputs }: OpenedSession) {
    this.name = name;
    this.#device = device;
    this.#key = key;
    this.inputs = inputs;
    this.outputs = outputs;
  }

  /**
   * Opens a model file.
   * @throws KinoraError PACK_INVALID (the file), DEVICE_UNAVAILABLE (the device), OUT_OF_MEMORY
   */
  static async open(name: string, path: string, options: SessionOptions): Promise<OnnxSession> {
    const { kind, ordinal } = parseDevice(options.device);
    const onNvidia = kind === 'cuda' || kind === 'tensorrt';
    const create = async (extra: Readonly<Record<string, string>> = {}): Promise<OnnxSession> => {
      const session: InferenceSession.SessionOptions = {
        executionProviders: providersOf(kind, ordinal),
        intraOpNumThreads: options.threads,
        interOpNumThreads: 1,
        graphOptimizationLevel: 'all',
        logSeverityLevel: 3,
        // Planning a run's memory as one block doubles what the arena holds (16.2 instead of 8.1 GiB for the UNet).
        ...(onNvidia ? { enableMemPattern: false } : {}),
        ...(kind === 'cpu' && options.returnsMemory ? { enableCpuMemArena: false } : {}),
        // Threads that wait by spinning would take the cores from this thread and from ffmpeg.
        extra: {
          session: {
            intra_op: { allow_spinning: '0' },
            ...extra,
          },
        },
      };
      const key = ++lastKey;
      const opened = await askThread({ type: 'open', session: key, path, options: session });
      return new OnnxSession(name, options.device, key, opened);
    };
    try {
      if (kind === 'cpu') return await create();
      if (onNvidia) linkProviders();
      // A device that was asked for by name does the work, or says that it cannot: never the CPU in its place. The
      // runtime throws when the device's library is missing; when nodes are left over, it is asked to say so too.
      try {
        return await create({ disable_cpu_ep_fallback: '1' });
      } catch (error) {
        if (!nodesLeftOver.test(messageOf(error))) throw error;
        return await create();
      }
    } catch (error) {
      throw explainOpenFailure(name, path, options.device, error);
    }
  }

  /** Milliseconds spent in run() since the session was opened. */
  get runMs(): number {
    return this.#runMs;
  }

  /**
   * Runs the graph; the calling thread is free meanwhile. Every output is float32 or uint8.
   * @throws KinoraError OUT_OF_MEMORY, BAD_NUMBERS when an output holds NaN or infinity
   */
  async run(
    feeds: Readonly<Record<string, Tensor | ThreadTensor>>,
    { into = {} }: RunOptions = {},
  ): Promise<Outputs> {
    const own = Object.fromEntries(Object.entries(feeds).map(([name, feed]) => [name, withOwnMemory(feed)]));
    const lent = Object.values(into).flatMap((tensor) => ('data' in tensor ? buffersOf(tensor) : []));
    let answer: RunAnswer;
    try {
      answer = await askThread({ type: 'run', session: this.#key, feeds: own, into }, lent);
    } catch (error) {
      throw explainRunFailure(this.name, this.#device, error);
    }
    this.#runMs += answer.runMs;
    if (!answer.isFinite) throw badNumbers(this.name);
    const outputs: Record<string, FloatTensor | ByteTensor> = {};
    for (const [name, { data, dims }] of Object.entries(answer.outputs)) {
      if (data instanceof Float32Array) outputs[name] = { data, dims };
      else if (data instanceof Uint8Array) outputs[name] = { data, dims };
      else throw new KinoraError('PACK_INVALID', `${this.name} gives ${name} as numbers of an odd kind.`);
    }
    return outputs;
  }

  async release(): Promise<void> {
    await askThread({ type: 'release', session: this.#key });
  }
}

const outOfMemory =
  /out of memory|failed to allocate|allocation failed|bad_alloc|BFCArena|CUDA_ERROR_OUT_OF_MEMORY/i;
const nodesLeftOver = /assigned to the default CPU EP/i;

function explainOpenFailure(name: string, path: string, device: string, cause: unknown): KinoraError {
  const message = messageOf(cause);
  if (outOfMemory.test(message)) {
    return new KinoraError('OUT_OF_MEMORY', `There is not enough memory on ${device} to load ${name}.`, {
      cause,
    });
  }
  const trouble = deviceTrouble(device, message, true);
  if (trouble !== undefined) {
    return new KinoraError('DEVICE_UNAVAILABLE', `The device ${device} is not available: ${trouble}.`, {
      cause,
    });
  }
  return new KinoraError('PACK_INVALID', `${path} cannot be loaded: ${firstWords(message)}.`, { cause });
}

function explainRunFailure(name: string, device: string, cause: unknown): KinoraError {
  const message = messageOf(cause);
  if (outOfMemory.test(message)) {
    return new KinoraError('OUT_OF_MEMORY', `The device ran out of memory in ${name}.`, { cause });
  }
  const trouble = deviceTrouble(device, message, false);
  if (trouble !== undefined) {
    return new KinoraError('DEVICE_UNAVAILABLE', `The device ${device} cannot run ${name}: ${trouble}.`, {
      cause,
    });
  }
  return new KinoraError('INTERNAL', `${name} failed: ${firstWords(message)}.`, { cause });
}

/** @param name the session's */
export function badNumbers(name: string): KinoraError {
  return new KinoraError('BAD_NUMBERS', `The model computed numbers that are not finite (${name}).`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
