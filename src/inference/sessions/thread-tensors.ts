/**
 * Tensors that lie in the session thread from run to run, so that nobody copies or moves them: what is handed from thread
 * to thread counts as new memory there, and megabytes of it at every step make V8 collect garbage at every step. Knows
 * no model.
 */
import type { Combination } from '../schedulers/scheduler.ts';
import { buffersOf, type FloatTensor, type Tensor } from './tensor.ts';
import { askSessionThread } from './thread-client.ts';

/** An input of many runs, an output that later runs are fed with, or what is computed of them between runs. */
export interface KeptTensor {
  readonly kept: number;
  /** Empty where the first run decides. */
  readonly dims: readonly number[];
}

/** All of a kept tensor, or one half of a batch of two. */
export interface KeptPart extends KeptTensor {
  readonly half?: 0 | 1;
}

/** Some frames of (1, C, F, h, w), each number times `factor`. */
export interface FrameRange {
  readonly first: number;
  readonly count: number;
  readonly factor: number;
}

let lastKey = 0;

/**
 * Those of one owner, who forgets them all at once. Requests to the thread are served in order, so that nothing here
 * waits unless it must.
 */
export class KeptTensors {
  readonly #all = new Set<number>();

  /**
   * A place for one output, or for a result of combinations: name it in `into` or as a target of a run, then among the
   * feeds of others. Everything that writes to it must have the same dims.
   */
  reserve(dims: readonly number[] = []): KeptTensor {
    const kept = ++lastKey;
    this.#all.add(kept);
    return { kept, dims };
  }

  /** Its memory goes to the thread for good: the array is detached, and must own all of its buffer. */
  keep(tensor: Tensor): KeptTensor {
    const place = this.reserve(tensor.dims);
    void tell('keep', { key: place.kept, tensor }, buffersOf(tensor));
    return place;
  }

  /** Sums of tensors into others; targets that are not there yet are made. See RunOptions.after for the usual case. */
  async compute(combinations: readonly Combination<KeptPart>[]): Promise<void> {
    if (combinations.length > 0) await askSessionThread('compute', { combinations });
  }

  /** Those frames of a volume (1, C, F, h, w), as (count, C, h, w). */
  frames(volume: KeptTensor, range: FrameRange): KeptTensor {
    const [, channels = 0, , height = 0, width = 0] = volume.dims;
    const place = this.reserve([range.count, channels, height, width]);
    void tell('frames', { key: place.kept, volume: volume.kept, range });
    return place;
  }

  /** Writes a frame (1, C, h, w) into a volume (1, C, F, h, w). Its memory goes to the thread. */
  setFrame(volume: KeptTensor, index: number, frame: FloatTensor): void {
    void tell('setFrame', { volume: volume.kept, index, frame: frame.data }, buffersOf(frame));
  }

  /** The numbers come back, and the place is empty. */
  async take({ kept, dims }: KeptTensor): Promise<FloatTensor> {
    this.#all.delete(kept);
    return { data: await askSessionThread<Float32Array>('take', { key: kept }), dims };
  }

  forget(tensors: readonly KeptTensor[]): void {
    const keys = tensors.map(({ kept }) => kept);
    for (const key of keys) this.#all.delete(key);
    void tell('forget', { keys });
  }

  forgetAll(): void {
    void tell('forget', { keys: [...this.#all] });
    this.#all.clear();
  }
}

/** A request that fails only with the thread; whoever needs its result is told. */
async function tell(...request: Parameters<typeof askSessionThread>): Promise<void> {
  await askSessionThread(...request).catch(() => {});
}
