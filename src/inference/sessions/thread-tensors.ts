/**
 * Tensors that lie in the session thread from run to run. In diffusers a tensor is a variable on the device, and
 * `latents = scheduler.step(noise_pred, t, latents).prev_sample` hands it on. Here the variable is a ThreadTensor, and
 * its numbers stay where the runtime reads and writes them: megabytes that move between threads at every step count as
 * new memory there, which V8 then collects at every step. Knows no model.
 */
import type { Combination } from '../schedulers/scheduler.ts';
import { buffersOf, type FloatTensor } from './tensor.ts';
import { askThread } from './thread-client.ts';
import type { ThreadRequest, ThreadTensor, ThreadTensorPart } from './thread-protocol.ts';

let lastKey = 0;

/** Those of one owner, who frees them all at once. */
export class ThreadTensors {
  readonly #keys = new Set<number>();

  /**
   * A tensor without numbers: name it in `into` of a run or as a target of a combination, then among the feeds of other
   * runs. Everything that writes to it must have the same dims.
   */
  empty(dims: readonly number[] = []): ThreadTensor {
    const key = ++lastKey;
    this.#keys.add(key);
    return { key, dims };
  }

  /** Its memory goes to the thread for good: the array is detached, and must own all of its buffer. */
  put(tensor: FloatTensor): ThreadTensor {
    const { key, dims } = this.empty(tensor.dims);
    tell({ type: 'put', key, tensor }, buffersOf(tensor));
    return { key, dims };
  }

  /** Computes sums of tensors, one after the other. Targets without numbers get the dims of the first term. */
  async compute(combinations: readonly Combination<ThreadTensorPart>[]): Promise<void> {
    if (combinations.length > 0) await askThread({ type: 'compute', combinations });
  }

  /** The numbers come back, and the tensor is freed. */
  async take({ key }: ThreadTensor): Promise<FloatTensor> {
    this.#keys.delete(key);
    return await askThread({ type: 'take', key });
  }

  free(tensors: readonly ThreadTensor[]): void {
    const keys = tensors.map(({ key }) => key);
    for (const key of keys) this.#keys.delete(key);
    tell({ type: 'free', keys });
  }

  freeAll(): void {
    tell({ type: 'free', keys: [...this.#keys] });
    this.#keys.clear();
  }
}

/** Sends a request that fails only if the thread ends; then every later request fails too, and says so. */
function tell(request: ThreadRequest, lent: ArrayBuffer[] = []): void {
  askThread(request, lent).catch(() => {});
}
