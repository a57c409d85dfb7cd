/**
 * The models that people can have now: those of the workers that live, by what each told when it was started. Where none
 * lives, those of the workers that were there last, which come back when Redis does; else those of the settings. Read in the
 * background, so that a question never waits.
 */
import { type PackManifest, packManifestSchema } from '../inference/packs/manifest.ts';
import type { Logger } from '../log.ts';
import { measureCostFactors, readCostFactors } from '../queue/cost-factors.ts';
import type { Keys } from '../queue/keys.ts';
import type { Redis } from '../queue/redis.ts';
import { readJson } from '../queue/stored-json.ts';
import { workerEntries } from '../queue/worker-registry.ts';
import { generalPresets, type Preset, type PresetName } from '../request/presets.ts';
import { invalid, type Refused } from './refusals.ts';
import { Periodic } from './upkeep/periodic.ts';

const lookEveryMs = 2_000;
const measureEveryMs = 60_000;

export class Models {
  /** Of the settings, the default first. */
  readonly #own: readonly PackManifest[];
  /** All that were ever told of, by id. */
  #known: ReadonlyMap<string, PackManifest>;
  #offered: readonly PackManifest[];
  #factors: ReadonlyMap<string, number> = new Map();
  #measuredAt = Number.NEGATIVE_INFINITY;
  #texts: ReadonlyMap<string, string> = new Map();
  #periodic: Periodic | null = null;
  readonly #listeners = new Set<() => void>();

  /** @param own those of this process's settings, the default first; a machine without workers may have none */
  constructor(own: readonly PackManifest[] = []) {
    this.#own = own;
    this.#known = byId(own);
    this.#offered = own;
  }

  /** Resolves when the workers' models are known, or cannot be asked for; then looks again until stop(). */
  async start(redis: Redis, keys: Keys, log: Logger): Promise<void> {
    const look = async (): Promise<void> => await this.look(redis, keys);
    const onError = (error: unknown): void =>
      log.warn({ err: String(error) }, "the workers' models cannot be read; will look again");
    await look().catch(onError);
    this.#periodic = new Periodic(look, lookEveryMs, onError);
    this.#periodic.start();
  }

  async stop(): Promise<void> {
    await this.#periodic?.stop();
  }

  /** One look. */
  async look(redis: Redis, keys: Keys): Promise<void> {
    const [told, workers] = await Promise.all([redis.hgetall(keys.models), workerEntries(redis, keys)]);
    this.#read(told);
    const registered = [...workers.values()];
    const living = registered.filter(({ alive }) => alive);
    const present = (living.length > 0 ? living : registered).map(({ entry }) => entry.models);
    const before = this.#offered;
    const found = present.length === 0 ? this.#own : this.#of(present);
    // Workers of another version, which tell of no models, have those of the settings.
    this.#offered = found.length === 0 ? this.#own : found;
    await this.#readFactors(redis, keys);
    const isSame =
      before.length === this.#offered.length && before.every((one, i) => one === this.#offered[i]);
    if (!isSame) for (const listener of this.#listeners) listener();
  }

  async #readFactors(redis: Redis, keys: Keys): Promise<void> {
    const now = performance.now();
    if (now - this.#measuredAt > measureEveryMs) {
      const ids = this.#offered.map(({ id }) => id);
      await measureCostFactors(redis, keys, ids);
      this.#measuredAt = now;
    }
    this.#factors = await readCostFactors(redis, keys);
  }

  /** What is told may be of a version that this one cannot read: then it is not offered. */
  #read(told: Readonly<Record<string, string>>): void {
    const known = new Map(byId(this.#own));
    for (const [id, text] of Object.entries(told)) {
      const manifest =
        this.#texts.get(id) === text ? this.#known.get(id) : readJson(text, packManifestSchema);
      if (manifest) known.set(id, manifest);
    }
    this.#texts = new Map(Object.entries(told));
    this.#known = known;
  }

  /** The default first: that of the settings, else the one that most workers name first; the others by their titles. */
  #of(present: readonly (readonly string[])[]): PackManifest[] {
    const first = (id: string): number => present.filter((models) => models[0] === id).length;
    const own = this.#own[0]?.id;
    const rank = (id: string): number => (id === own ? Infinity : first(id));
    return [...new Set(present.flat())]
      .flatMap((id) => this.#known.get(id) ?? [])
      .sort((a, b) => a.title.localeCompare(b.title) || a.id.localeCompare(b.id))
      .map((manifest, place) => ({ manifest, place }))
      .sort((a, b) => {
        const [one, other] = [rank(a.manifest.id), rank(b.manifest.id)];
        return one === other ? a.place - b.place : other - one;
      })
      .map(({ manifest }) => manifest);
  }

  /** Those that can be asked for, the default first. Empty where nothing is known of any. */
  get offered(): readonly PackManifest[] {
    return this.#offered;
  }

  /** Of a request that names none. */
  get default(): PackManifest | undefined {
    return this.#offered[0];
  }

  /** The one with this id, also when no worker has it any more; the default where there is no id. */
  of(id: string | undefined): PackManifest | undefined {
    return id === undefined ? this.default : this.#known.get(id);
  }

  isOffered(id: string): boolean {
    return this.#offered.some((manifest) => manifest.id === id);
  }

  /**
   * The one that makes a request, or why none does: none where none is known, and none was named.
   * @param name its id, or how that begins if it is the only one
   */
  chosen(name: string | undefined): PackManifest | undefined | Refused {
    if (name === undefined) return this.default;
    const exact = this.#offered.find(({ id }) => id === name);
    const [first, ...others] = this.#offered.filter(({ id }) => id.startsWith(name));
    const found = exact ?? (others.length === 0 ? first : undefined);
    if (found) return found;
    const models = this.#offered.map(({ id }) => id);
    return invalid({ kind: 'noSuchModel', got: name.slice(0, 64), models });
  }

  /** What its presets cost relative to those of the default one. */
  factorOf(id: string | undefined): number {
    return this.#factors.get(id ?? this.default?.id ?? '') ?? 1;
  }

  /** The presets as a model runs them; the general ones where it is not known. */
  presetsOf(id: string | undefined): Readonly<Record<PresetName, Preset>> {
    return { ...generalPresets, ...this.of(id)?.presets };
  }

  /** Calls back when other models are offered, until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

function byId(manifests: readonly PackManifest[]): Map<string, PackManifest> {
  return new Map(manifests.map((manifest) => [manifest.id, manifest]));
}
