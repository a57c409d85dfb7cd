/**
 * The packs of an engine. The first is open from the start; another one is opened with its first job, and again after it
 * had to make room.
 */
import { isKinoraError, KinoraError } from '../../errors.ts';
import { freeGpuBytes } from '../../inference/devices/gpus.ts';
import { assertMainMemory } from '../../inference/devices/main-memory.ts';
import { withDeviceRemedy } from '../../inference/devices/required-device.ts';
import type { ImageToVideoPipeline } from '../../inference/image-to-video.ts';
import type { LatentCache } from '../../inference/latent-cache.ts';
import type { Pack } from '../../inference/packs/files.ts';
import { type OpenPack, type OpenPackOptions, openPack } from '../../inference/packs/open.ts';
import { createPipeline } from '../../inference/pipelines/create-pipeline.ts';
import { measuredMemory } from '../../inference/residency/measured-memory.ts';
import { SharedMemory } from '../../inference/residency/shared-memory.ts';

export interface ReadyPack {
  readonly pack: OpenPack;
  readonly pipeline: ImageToVideoPipeline;
  /** Milliseconds that it took to load now; 0 where it was. */
  readonly loadMs: number;
}

export class EnginePacks {
  readonly #found: readonly Pack[];
  readonly #options: OpenPackOptions;
  /** Nobody set a budget: what is free is measured before each load, since other programs use the GPU, too. */
  readonly #isMeasured: boolean;
  readonly #cache: LatentCache;
  readonly #memory: SharedMemory;
  readonly #opened = new Map<string, Omit<ReadyPack, 'loadMs'>>();

  /** @param found the first makes the jobs that name none */
  constructor(found: readonly Pack[], options: Omit<OpenPackOptions, 'memory'>, cache: LatentCache) {
    this.#found = found;
    this.#memory = new SharedMemory(options.device === 'cpu');
    this.#options = { ...options, memory: this.#memory };
    this.#isMeasured = options.memoryBudgetBytes === undefined;
    this.#cache = cache;
  }

  /** Ids of those whose jobs need not wait for their weights. */
  get loaded(): string[] {
    return [...this.#opened].flatMap(([id, { pack }]) => (pack.isLoaded() ? [id] : []));
  }

  /**
   * @param onLoading called before a pack is loaded
   * @throws KinoraError PACK_NOT_FOUND for an id that this engine was not started with, and what openPack() throws
   */
  async use(id: string | undefined, onLoading: () => void): Promise<ReadyPack> {
    const found = this.#found.find(({ manifest }) => id === undefined || manifest.id === id);
    if (!found) throw new KinoraError('PACK_NOT_FOUND', `This engine was not started with the model ${id}.`);
    const known = this.#opened.get(found.manifest.id);
    if (known?.pack.isLoaded()) return { ...known, loadMs: 0 };
    onLoading();
    const startedAt = performance.now();
    try {
      await this.#measure();
      await this.#makeRoomFor(found);
      await known?.pack.load();
      const ready = known ?? (await this.#open(found));
      return { ...ready, loadMs: performance.now() - startedAt };
    } catch (error) {
      throw withDeviceRemedy(error, found.manifest);
    }
  }

  async #open(found: Pack): Promise<Omit<ReadyPack, 'loadMs'>> {
    const memoryBudgetBytes = this.#options.memoryBudgetBytes ?? this.#memory.budgetBytes;
    const pack = await openPack(found, { ...this.#options, memoryBudgetBytes });
    const ready = { pack, pipeline: createPipeline(pack, this.#cache) };
    this.#opened.set(found.manifest.id, ready);
    return ready;
  }

  /** What the open packs hold is theirs; the rest of what this process has on the GPU is its context. */
  async #measure(): Promise<void> {
    if (!this.#isMeasured) return;
    const free = await freeGpuBytes(this.#options.device);
    if (free === undefined) return;
    const held = this.#memory.bytesOfOthers(undefined);
    this.#memory.budgetBytes = free + held + (this.#opened.size > 0 ? measuredMemory.contextBytes : 0);
  }

  /** On the CPU, what is free is known only now; with a GPU, the pack makes its own room while it opens. */
  async #makeRoomFor({ manifest }: Pack): Promise<void> {
    if (!this.#memory.isMain) return;
    for (;;) {
      try {
        return await assertMainMemory(manifest);
      } catch (error) {
        if (!isKinoraError(error) || !(await this.#memory.makeRoomFor(undefined))) throw error;
      }
    }
  }
}
