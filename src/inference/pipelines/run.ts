/**
 * Bookkeeping of one clip while a pipeline makes it: progress, cancellation, timings and use of the cache. Knows no model.
 */
import { KinoraError } from '../../errors.ts';
import type { CacheEntry, Tensors } from '../cache-file.ts';
import type { GenerateHooks, Phase } from '../image-to-video.ts';
import type { CacheKind, LatentCache } from '../latent-cache.ts';

/** Milliseconds spent in sessions so far, over all clips. */
export interface SessionMs {
  readonly runMs: number;
  readonly openMs: number;
}

const cacheKinds: readonly CacheKind[] = ['prompt', 'image', 'video'];

export class Run {
  readonly #hooks: GenerateHooks;
  readonly #cache: LatentCache;
  readonly #sessionMs: () => SessionMs;
  readonly #sessionMsBefore: SessionMs;
  readonly #startedAt = performance.now();
  readonly #timings: Record<string, number> = {};
  readonly #hits = new Set<CacheKind>();
  readonly #misses = new Set<CacheKind>();
  #phase: Phase = 'encoding';
  #done = 0;
  #total = 0;
  #markedAt = this.#startedAt;

  constructor(hooks: GenerateHooks, cache: LatentCache, sessionMs: () => SessionMs) {
    this.#hooks = hooks;
    this.#cache = cache;
    this.#sessionMs = sessionMs;
    this.#sessionMsBefore = sessionMs();
  }

  /** Throws CANCELLED when the job is no longer wanted. */
  check(): void {
    if (this.#hooks.signal.aborted) throw new KinoraError('CANCELLED', 'The job was cancelled.');
  }

  enter(phase: Phase, total: number): void {
    this.check();
    this.#phase = phase;
    this.#done = 0;
    this.#total = total;
    this.#report();
  }

  step(): void {
    this.#done++;
    this.#report();
    this.check();
  }

  /** Records the time since the last call under `name`. */
  lap(name: string): void {
    const now = performance.now();
    this.#timings[name] = now - this.#markedAt;
    this.#markedAt = now;
  }

  /** The same at the end of a stage; while encoding, it counts as a step of the progress. */
  advance(name: string): void {
    this.lap(name);
    this.#encodingStep();
  }

  /** The same for a stage that runs beside another one and knows its own time. */
  book(name: string, ms: number): void {
    this.#timings[name] = ms;
    this.#encodingStep();
  }

  #encodingStep(): void {
    if (this.#phase === 'encoding' && this.#done < this.#total) this.step();
  }

  /** Tensors from the cache, or computed and put there. */
  async cached(kind: CacheKind, key: string, compute: () => Promise<Tensors>): Promise<Tensors> {
    const found = await this.lookUp(kind, key);
    if (found) return found.tensors;
    const tensors = await compute();
    this.keep(key, { tensors });
    return tensors;
  }

  keep(key: string, entry: CacheEntry): void {
    this.#cache.set(key, entry);
    this.check();
  }

  async lookUp(kind: CacheKind, key: string): Promise<CacheEntry | undefined> {
    const entry = await this.#cache.get(key);
    (entry ? this.#hits : this.#misses).add(kind);
    return entry;
  }

  cacheUse(): { hits: string[]; misses: string[] } {
    // In the order of the stages, although prompts and picture are looked up side by side.
    const inOrder = (found: ReadonlySet<CacheKind>) => cacheKinds.filter((kind) => found.has(kind));
    return { hits: inOrder(this.#hits), misses: inOrder(this.#misses) };
  }

  timings(): Record<string, number> {
    const { runMs, openMs } = this.#sessionMs();
    const sessions = runMs - this.#sessionMsBefore.runMs;
    // Sessions that had to make room for others and were opened again.
    const loadSessions = openMs - this.#sessionMsBefore.openMs;
    return { ...this.#timings, sessions, loadSessions, generate: performance.now() - this.#startedAt };
  }

  #report(): void {
    this.#hooks.onProgress({ phase: this.#phase, done: this.#done, total: this.#total });
  }
}
