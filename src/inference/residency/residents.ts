/**
 * The sessions of a pack and the plan by which they share the device's memory: which stay open, which take turns, and
 * for which shapes of a clip there are sessions of their own. Knows no files and no pipeline.
 */

import type { GraphName } from '../packs/graphs.ts';
import type { SessionOptions } from '../sessions/session.ts';
import {
  activationBytesOfRun,
  type ClipShape,
  cores,
  displaces,
  isOnDemand,
  leanestPlan,
  type MemoryPlan,
  type PackMemory,
  planMemory,
  sessionBytesOf,
} from './memory-plan.ts';
import { type Copy, PackSession, type Room, sameDims } from './pack-session.ts';

/** Graphs with the convolutions for whose shapes cuDNN looks for kernels, by what the search costs. */
const searchingGraphs: readonly GraphName[] = ['unet_core', 'unet_shallow', 'vae_encoder', 'vae_decoder'];

export interface ResidentGraph {
  readonly name: GraphName;
  readonly path: string;
  readonly session: SessionOptions;
  /** Sessions that may be open at a time, each for one shape; 1 where a change of shape costs nothing. */
  readonly maxCopies: number;
}

export interface ResidentsOptions {
  readonly memory: PackMemory;
  /** Undefined: everything stays open, once. */
  readonly budgetBytes: number | undefined;
  readonly latentChannels: number;
  /** A change of the core's shape costs a search for kernels. */
  readonly searchesPerShape: boolean;
  /** What people ask for when they ask for nothing special: decides what stays open after loading. */
  readonly usualClip: ClipShape;
  readonly whileOpening: () => void;
}

/** Copies that the plan counts; of the others it knows nothing. */
type Planned = ReadonlyMap<GraphName, Copy>;

export class Residents {
  readonly sessions: readonly PackSession[];
  readonly #options: ResidentsOptions;
  #plan: MemoryPlan;
  /** Settles when everybody who makes room or opens has had their turn. */
  #turn: Promise<void> = Promise.resolve();
  #turns = 0;

  constructor(graphs: readonly ResidentGraph[], options: ResidentsOptions) {
    this.#options = options;
    const room: Room = {
      rivals: (name) => this.#rivals(name),
      activationBytes: (name, dims) => this.#activationBytes(name, dims),
      place: (session, dims) => this.#place(session, dims),
      inTurn: (work) => {
        this.#turns++;
        const done = this.#turn.then(work).finally(() => {
          this.#turns--;
        });
        this.#turn = done.then(
          () => {},
          () => {},
        );
        return done;
      },
      isQuiet: () => this.#turns === 0,
      whileOpening: options.whileOpening,
    };
    this.sessions = graphs.map(({ name, path, session, maxCopies }) => {
      const copies = options.budgetBytes === undefined || !searchingGraphs.includes(name) ? 1 : maxCopies;
      return new PackSession(name, path, session, room, copies);
    });
    this.#plan = this.#usualPlan();
  }

  /** Opens every session once, the core last: a broken pack is refused now, not in the middle of a clip. */
  async openAll(): Promise<void> {
    const isCore = ({ name }: PackSession): number => (name === 'unet_core' ? 1 : 0);
    for (const session of [...this.sessions].sort((a, b) => isCore(a) - isCore(b))) {
      await session.open();
      // What would have to go before the first clip goes before there is no room for the next session.
      const isIdle = session.name === 'unet_shallow' || isOnDemand(session.name, this.#plan.residency);
      if (isIdle && session.name !== 'unet_core') await session.release();
    }
  }

  /** As OpenPack.prepare. */
  async prepare(clip: ClipShape, leanest = false): Promise<MemoryPlan> {
    let { plan, planned } = this.#chooseCopies(clip, leanest);
    // Two searches in every clip would take longer than what guidance saves when it ends: with one core all its runs
    // have one half, which costs some per cent of a step.
    const changesBatch = clip.endsGuidance === true && plan.coreBatch === 2;
    if (this.#options.searchesPerShape && changesBatch && !this.#hasPlaceForHalf(clip, plan, planned)) {
      ({ plan, planned } = this.#chooseCopies({ ...clip, splitsGuidance: true }, leanest));
    }
    for (const session of this.sessions) {
      for (const copy of session.copies) copy.isPlanned = planned.get(session.name) === copy;
    }
    for (const name of plan.release) {
      const copy = planned.get(name);
      if (copy) await this.#session(name)?.release(copy);
    }
    this.#plan = plan;
    if (leanest || this.#options.budgetBytes !== undefined) {
      for (const { session, copy } of this.#extras()) {
        if (plan.residency === 'all' && this.#freeBytes() >= 0) break;
        await session.release(copy);
      }
    }
    return plan;
  }

  /** As OpenPack.makeRoom. */
  async makeRoom(): Promise<void> {
    this.#plan = { ...this.#plan, residency: 'one-at-a-time' };
    await this.release();
  }

  async release(): Promise<void> {
    for (const session of this.sessions) await session.release();
  }

  /**
   * The plan, and the copy of each graph that it counts: the one that has run the clip's shape; else none, if there is
   * room for a fresh one beside all others; else the least recently used, which will change its shape.
   */
  #chooseCopies(clip: ClipShape, leanest: boolean): { plan: MemoryPlan; planned: Planned } {
    const { memory, budgetBytes } = this.#options;
    const planWith = (planned: Planned): MemoryPlan => {
      const held = Object.fromEntries([...planned].map(([name, { heldBytes }]) => [name, heldBytes]));
      return leanest ? leanestPlan(clip, memory, held) : planMemory(clip, memory, budgetBytes, held);
    };
    const wanted = planWith(new Map());
    let planned: Planned = new Map(
      this.sessions.flatMap((session) => {
        // Where memory is short, the second core has no share in a plan that does not need it.
        if (session.name === 'unet_shallow' && !clip.usesShallowCore) return [];
        const copy =
          session.copyFor(this.#inputDims(session.name, clip, wanted)) ?? byLastRun(session.copies)[0];
        return copy ? [[session.name, copy]] : [];
      }),
    );
    let plan = planWith(planned);
    for (const name of searchingGraphs) {
      const session = this.#session(name);
      if (!session || session.copies.length >= session.maxCopies || plan.residency !== 'all') continue;
      if (session.copyFor(this.#inputDims(name, clip, wanted))) continue;
      if (name === 'unet_shallow' && !clip.usesShallowCore) continue;
      const fewer = new Map([...planned].filter(([other]) => other !== name));
      const roomier = planWith(fewer);
      if (this.#bytesBeside(fewer) > roomier.spareBytes) continue;
      planned = fewer;
      plan = roomier;
    }
    return { plan, planned };
  }

  /** Whether a core for batch 1 may be open beside the planned one for batch 2, by what #place would do. */
  #hasPlaceForHalf(clip: ClipShape, plan: MemoryPlan, planned: Planned): boolean {
    const core = this.#session('unet_core');
    if (!core || plan.residency !== 'all') return false;
    const { memory } = this.#options;
    const dims = this.#inputDims('unet_core', clip, { ...plan, coreBatch: 1 });
    const needed = this.#activationBytes('unet_core', dims);
    const free = plan.spareBytes - this.#bytesBeside(planned);
    const others = core.copies.filter((copy) => copy !== planned.get('unet_core'));
    if (others.some((copy) => sameDims(copy.dims, dims) || needed - copy.heldBytes <= free)) return true;
    const ofVae = this.#bytesBeside(planned, (name) => !cores.includes(name));
    return others.length + 1 < core.maxCopies && sessionBytesOf('unet_core', needed, memory) <= free + ofVae;
  }

  /** Of the run for the clip, as PackSession sees them; empty for graphs without copies. */
  #inputDims(graph: GraphName, clip: ClipShape, plan: MemoryPlan): readonly number[] {
    const { memory, latentChannels } = this.#options;
    const { width, height, numFrames } = clip;
    const cells = [height / memory.vaeScaleFactor, width / memory.vaeScaleFactor];
    if (graph === 'vae_encoder') return [1, 3, height, width];
    if (graph === 'vae_decoder') return [Math.min(plan.decodeChunkSize, numFrames), latentChannels, ...cells];
    if (cores.includes(graph)) return [plan.coreBatch, latentChannels, numFrames, ...cells];
    return [];
  }

  /** What the copies of these graphs hold that the plan does not count. */
  #bytesBeside(planned: Planned, isCounted: (name: GraphName) => boolean = () => true): number {
    const { memory } = this.#options;
    return this.sessions
      .filter(({ name }) => isCounted(name))
      .flatMap(({ name, copies }) => copies.map((copy) => ({ name, copy })))
      .filter(({ name, copy }) => planned.get(name) !== copy)
      .reduce((sum, { name, copy }) => sum + sessionBytesOf(name, copy.heldBytes, memory), 0);
  }

  /** The same one by one, the least recently used first. */
  #extras(): { session: PackSession; copy: Copy; bytes: number }[] {
    return this.sessions
      .flatMap((session) => byLastRun(session.copies).map((copy) => ({ session, copy })))
      .filter(({ copy }) => !copy.isPlanned)
      .map(({ session, copy }) => {
        const bytes = sessionBytesOf(session.name, copy.heldBytes, this.#options.memory);
        return { session, copy, bytes };
      })
      .sort((a, b) => a.copy.lastRun - b.copy.lastRun);
  }

  /** What the plan and the copies beside it leave; negative when they are too many. */
  #freeBytes(): number {
    return this.#extras().reduce((free, { bytes }) => free - bytes, this.#plan.spareBytes);
  }

  /** As Room.place. */
  async #place(session: PackSession, dims: readonly number[]): Promise<Copy | 'planned' | 'beside'> {
    const { name, copies, maxCopies } = session;
    const oldest = byLastRun(copies);
    const needed = this.#activationBytes(name, dims);
    const own = oldest.find(({ isPlanned }) => isPlanned);
    if (!own && copies.length < maxCopies) return 'planned';
    const extras = this.#extras();
    let free = this.#freeBytes();
    if (this.#plan.residency === 'all' && copies.length < maxCopies) {
      const wanted = sessionBytesOf(name, needed, this.#options.memory);
      if (cores.includes(name)) {
        // Their search takes by far the longest: the VAE's other copies go for them.
        const others = extras.filter((extra) => !cores.includes(extra.session.name));
        if (free + others.reduce((sum, { bytes }) => sum + bytes, 0) >= wanted) {
          for (const extra of others) {
            if (free >= wanted) break;
            await extra.session.release(extra.copy);
            free += extra.bytes;
          }
        }
      }
      if (wanted <= free) return 'beside';
    }
    // A copy that is to hold more than it did takes it from the plan's share, or from what is left beside it.
    const changing = oldest.find((copy) => copy.isPlanned || needed - copy.heldBytes <= free);
    return changing ?? own ?? oldest[0] ?? 'planned';
  }

  /** The open sessions that have to go before this graph runs. */
  #rivals(graph: GraphName): PackSession[] {
    const { residency } = this.#plan;
    if (residency === 'all') return [];
    return this.sessions.filter(({ name, isOpen }) => isOpen && displaces(graph, name, residency));
  }

  #activationBytes(graph: GraphName, dims: readonly number[]): number {
    return activationBytesOfRun(graph, dims, this.#options.memory) ?? this.#plan.activationBytes[graph] ?? 0;
  }

  #session(name: GraphName): PackSession | undefined {
    return this.sessions.find((session) => session.name === name);
  }

  /** For the usual clip; the leanest when not even that one fits. */
  #usualPlan(): MemoryPlan {
    const { memory, budgetBytes, usualClip } = this.#options;
    try {
      return planMemory(usualClip, memory, budgetBytes);
    } catch {
      return leanestPlan(usualClip, memory);
    }
  }
}

/** The least recently used first. */
function byLastRun(copies: readonly Copy[]): Copy[] {
  return [...copies].sort((a, b) => a.lastRun - b.lastRun);
}
