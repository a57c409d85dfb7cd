/**
 * The sessions of a pack, which share the device's memory by a plan: which stay open, which take turns, and which shapes
 * have sessions of their own. Every graph has at most one session that the plan counts; further sessions, one per shape,
 * are extra: they use what the plan leaves of the budget and are released first.
 */

import { isKinoraError } from '../../errors.ts';
import type { GraphName } from '../packs/graphs.ts';
import type { SessionOptions } from '../sessions/session.ts';
import {
  activationBytesOfRun,
  type ClipShape,
  cores,
  isOnDemand,
  leastMemoryPlan,
  type MemoryPlan,
  type PackMemory,
  planMemory,
  sessionBytesOf,
  takeTurns,
} from './memory-plan.ts';
import {
  leastRecentlyUsedFirst,
  type OpenSession,
  PackSession,
  type SessionChoice,
  type SessionOwner,
  sameDims,
} from './pack-session.ts';
import type { MemoryUser, SharedMemory } from './shared-memory.ts';

/** Graphs with convolutions, for whose shapes cuDNN searches kernels; the one with the longest search first. */
const searchingGraphs: readonly GraphName[] = ['unet_core', 'unet_shallow', 'vae_encoder', 'vae_decoder'];

export interface PooledGraph {
  readonly name: GraphName;
  readonly path: string;
  readonly session: SessionOptions;
  /** Sessions that may be open at a time, each for one shape; 1 where a change of shape costs nothing. */
  readonly maxSessions: number;
}

export interface SessionPoolOptions {
  readonly memory: PackMemory;
  /** Undefined: every graph stays open, with one session. */
  readonly budgetBytes: number | undefined;
  /** With the packs that share it; absent where there is no other. */
  readonly shared?: SharedMemory | undefined;
  readonly latentChannels: number;
  /** A change of the core's shape costs a search for kernels. */
  readonly searchesPerShape: boolean;
  /** The clip of a request without options: decides what stays open after loading. */
  readonly usualClip: ClipShape;
  readonly whileOpening: () => void;
}

/** The session of each graph that the plan counts. */
type PlannedSessions = ReadonlyMap<GraphName, OpenSession>;

interface ExtraSession {
  readonly graph: PackSession;
  readonly open: OpenSession;
  readonly bytes: number;
}

export class SessionPool implements SessionOwner, MemoryUser {
  readonly sessions: readonly PackSession[];
  readonly whileOpening: () => void;
  readonly #options: SessionPoolOptions;
  #plan: MemoryPlan;
  /** Settles when the last of the tasks has ended. */
  #lastTask: Promise<void> = Promise.resolve();
  #taskCount = 0;
  #isLoaded = false;

  constructor(graphs: readonly PooledGraph[], options: SessionPoolOptions) {
    this.#options = options;
    this.whileOpening = options.whileOpening;
    this.sessions = graphs.map(({ name, path, session, maxSessions }) => {
      const mayHaveExtra = options.budgetBytes !== undefined && searchingGraphs.includes(name);
      return new PackSession(name, path, session, this, mayHaveExtra ? maxSessions : 1);
    });
    this.#plan = this.#usualPlan();
  }

  /** Opens every session once, the core last: a broken pack is refused now, not in the middle of a clip. */
  async openAll(): Promise<void> {
    await this.#takeRoom(this.#options.usualClip, false);
    const isCore = ({ name }: PackSession): number => (name === 'unet_core' ? 1 : 0);
    for (const session of [...this.sessions].sort((a, b) => isCore(a) - isCore(b))) {
      await session.open();
      // Sessions that the first clip would release are released now, to make room for the next session.
      const isIdle = session.name === 'unet_shallow' || isOnDemand(session.name, this.#plan.residency);
      if (isIdle && session.name !== 'unet_core') await session.release();
    }
    this.#isLoaded = true;
  }

  /** Since openAll(), unless it was set aside. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  get heldBytes(): number {
    return this.#bytesBeside(new Map());
  }

  async setAside(): Promise<void> {
    this.#isLoaded = false;
    await this.release();
  }

  /** What may be used beside the packs that share the device. */
  get #budgetBytes(): number | undefined {
    const { budgetBytes, shared } = this.#options;
    if (budgetBytes === undefined) return undefined;
    return (shared?.budgetBytes ?? budgetBytes) - (shared?.bytesOfOthers(this) ?? 0);
  }

  /** Sets other packs aside, as far as the clip would not get all that it wants beside them. */
  async #takeRoom(clip: ClipShape, leastMemory: boolean): Promise<void> {
    const { shared } = this.#options;
    shared?.use(this);
    while (shared && !this.#hasRoom(clip, leastMemory)) {
      if (!(await shared.makeRoomFor(this))) return;
    }
  }

  #hasRoom(clip: ClipShape, leastMemory: boolean): boolean {
    if (this.#options.budgetBytes === undefined) return this.#options.shared?.isMain === true && !leastMemory;
    if (leastMemory) return false;
    try {
      return this.#choosePlanned(clip, false).plan.residency === 'all';
    } catch (error) {
      if (isKinoraError(error)) return false; // it does not fit
      throw error;
    }
  }

  /** As OpenPack.prepare. */
  async prepare(clip: ClipShape, leastMemory = false): Promise<MemoryPlan> {
    await this.#takeRoom(clip, leastMemory);
    let { plan, planned } = this.#choosePlanned(clip, leastMemory);
    // Guidance that ends early changes the core's batch twice per clip. With one session each change is a search, which
    // takes longer than the steps without guidance save. So all runs have batch 1, at some per cent of a step.
    const changesBatch = clip.endsGuidance === true && plan.coreBatch === 2;
    if (this.#options.searchesPerShape && changesBatch && !this.#hasBothBatches(clip, plan, planned)) {
      ({ plan, planned } = this.#choosePlanned({ ...clip, splitsGuidance: true }, leastMemory));
    }
    for (const session of this.sessions) {
      for (const open of session.openSessions) open.isPlanned = planned.get(session.name) === open;
    }
    for (const name of plan.release) {
      const open = planned.get(name);
      if (open) await this.#session(name)?.release(open);
    }
    this.#plan = plan;
    if (leastMemory || this.#options.budgetBytes !== undefined) {
      for (const { graph, open } of this.#extraSessions()) {
        if (plan.residency === 'all' && this.#freeBytes() >= 0) break;
        await graph.release(open);
      }
    }
    return plan;
  }

  /** As OpenPack.makeRoom. */
  async makeRoom(): Promise<void> {
    while (await this.#options.shared?.makeRoomFor(this));
    this.#plan = { ...this.#plan, residency: 'one-at-a-time' };
    await this.release();
  }

  async release(): Promise<void> {
    for (const session of this.sessions) await session.release();
  }

  toRelease(graph: GraphName): PackSession[] {
    const { residency } = this.#plan;
    if (residency === 'all') return [];
    return this.sessions.filter(({ name, isOpen }) => isOpen && takeTurns(graph, name, residency));
  }

  activationBytes(graph: GraphName, dims: readonly number[]): number {
    return activationBytesOfRun(graph, dims, this.#options.memory) ?? this.#plan.activationBytes[graph] ?? 0;
  }

  inTurn<T>(task: () => Promise<T>): Promise<T> {
    this.#taskCount++;
    const done = this.#lastTask.then(task).finally(() => {
      this.#taskCount--;
    });
    this.#lastTask = done.then(
      () => {},
      () => {}, // the caller of this task has its error
    );
    return done;
  }

  isIdle(): boolean {
    return this.#taskCount === 0;
  }

  /**
   * In this order: the planned session, opened; an extra one, opened, if the budget has room for it; an open session
   * that changes its shape, the least recently used of those whose growth fits.
   */
  async choose(session: PackSession, dims: readonly number[]): Promise<SessionChoice> {
    const { name, openSessions, maxSessions } = session;
    const oldestFirst = leastRecentlyUsedFirst(openSessions);
    const planned = oldestFirst.find(({ isPlanned }) => isPlanned);
    if (!planned && openSessions.length < maxSessions) return { open: 'planned' };
    const needed = this.activationBytes(name, dims);
    let free = this.#freeBytes();
    if (this.#plan.residency === 'all' && openSessions.length < maxSessions) {
      const sessionBytes = sessionBytesOf(name, needed, this.#options.memory);
      // The core's search takes by far the longest, so extra sessions of the VAE are released for it.
      if (cores.includes(name)) free = await this.#freeFromVae(sessionBytes, free);
      if (sessionBytes <= free) return { open: 'extra' };
    }
    const use = oldestFirst.find((open) => open.isPlanned || needed - open.heldBytes <= free);
    const fallback = use ?? planned ?? oldestFirst[0];
    return fallback ? { use: fallback } : { open: 'planned' };
  }

  /**
   * Releases extra sessions of the VAE until `wanted` bytes are free, none when all of them would not be enough.
   * @returns the bytes that are free then
   */
  async #freeFromVae(wanted: number, freeBytes: number): Promise<number> {
    const extras = this.#extraSessions().filter(({ graph }) => !cores.includes(graph.name));
    let free = freeBytes;
    if (free + extras.reduce((sum, { bytes }) => sum + bytes, 0) < wanted) return free;
    for (const { graph, open, bytes } of extras) {
      if (free >= wanted) break;
      await graph.release(open);
      free += bytes;
    }
    return free;
  }

  /**
   * The plan, and the session of each graph that it counts: the one that ran the clip's shape last; else none, if a
   * fresh one fits beside all open ones; else the least recently used, which will change its shape.
   */
  #choosePlanned(clip: ClipShape, leastMemory: boolean): { plan: MemoryPlan; planned: PlannedSessions } {
    const { memory } = this.#options;
    const budgetBytes = this.#budgetBytes;
    const planWith = (planned: PlannedSessions): MemoryPlan => {
      const held = Object.fromEntries([...planned].map(([name, { heldBytes }]) => [name, heldBytes]));
      const plan = leastMemory ? leastMemoryPlan : planMemory;
      return plan(clip, memory, budgetBytes, held);
    };
    // Where memory is short, the second core has no share in a plan that does not need it.
    const isUsed = (name: GraphName): boolean => name !== 'unet_shallow' || clip.usesShallowCore === true;
    const unburdened = planWith(new Map());
    let planned: PlannedSessions = new Map(
      this.sessions.flatMap((session) => {
        if (!isUsed(session.name)) return [];
        const sameShape = session.sessionFor(this.#inputDims(session.name, clip, unburdened));
        const open = sameShape ?? leastRecentlyUsedFirst(session.openSessions)[0];
        return open ? [[session.name, open]] : [];
      }),
    );
    let plan = planWith(planned);
    for (const name of searchingGraphs) {
      const session = this.#session(name);
      if (!session || !isUsed(name) || plan.residency !== 'all') continue;
      if (session.openSessions.length >= session.maxSessions) continue;
      if (session.sessionFor(this.#inputDims(name, clip, unburdened))) continue;
      const withFresh = new Map([...planned].filter(([other]) => other !== name));
      const planWithFresh = planWith(withFresh);
      if (this.#bytesBeside(withFresh) > planWithFresh.spareBytes) continue;
      planned = withFresh;
      plan = planWithFresh;
    }
    return { plan, planned };
  }

  /** Whether a core of batch 1 may be open beside the planned one of batch 2, by the rules of choose(). */
  #hasBothBatches(clip: ClipShape, plan: MemoryPlan, planned: PlannedSessions): boolean {
    const core = this.#session('unet_core');
    if (!core || plan.residency !== 'all') return false;
    const { memory } = this.#options;
    const dims = this.#inputDims('unet_core', clip, { ...plan, coreBatch: 1 });
    const needed = this.activationBytes('unet_core', dims);
    const free = plan.spareBytes - this.#bytesBeside(planned);
    const others = core.openSessions.filter((open) => open !== planned.get('unet_core'));
    if (others.some((open) => sameDims(open.dims, dims) || needed - open.heldBytes <= free)) return true;
    const ofVae = this.#bytesBeside(planned, (name) => !cores.includes(name));
    return (
      others.length + 1 < core.maxSessions && sessionBytesOf('unet_core', needed, memory) <= free + ofVae
    );
  }

  /** Dims of the run for the clip, as PackSession sees them; empty for graphs with one session for all shapes. */
  #inputDims(graph: GraphName, clip: ClipShape, plan: MemoryPlan): readonly number[] {
    const { memory, latentChannels } = this.#options;
    const { width, height, numFrames } = clip;
    const cells = [height / memory.vaeScaleFactor, width / memory.vaeScaleFactor];
    if (graph === 'vae_encoder') return [1, 3, height, width];
    if (graph === 'vae_decoder') return [Math.min(plan.decodeChunkSize, numFrames), latentChannels, ...cells];
    if (cores.includes(graph)) return [plan.coreBatch, latentChannels, numFrames, ...cells];
    return [];
  }

  /** Bytes of the open sessions of these graphs that are not among the planned ones. */
  #bytesBeside(planned: PlannedSessions, isCounted: (name: GraphName) => boolean = () => true): number {
    const { memory } = this.#options;
    return this.sessions
      .filter(({ name }) => isCounted(name))
      .flatMap(({ name, openSessions }) => openSessions.map((open) => ({ name, open })))
      .filter(({ name, open }) => planned.get(name) !== open)
      .reduce((sum, { name, open }) => sum + sessionBytesOf(name, open.heldBytes, memory), 0);
  }

  /** Those that the present plan does not count, the least recently used first. */
  #extraSessions(): ExtraSession[] {
    return this.sessions
      .flatMap((graph) => leastRecentlyUsedFirst(graph.openSessions).map((open) => ({ graph, open })))
      .filter(({ open }) => !open.isPlanned)
      .map(({ graph, open }) => {
        const bytes = sessionBytesOf(graph.name, open.heldBytes, this.#options.memory);
        return { graph, open, bytes };
      })
      .sort((a, b) => a.open.lastRun - b.open.lastRun);
  }

  /** What the plan and the extra sessions leave of the budget; negative when there are too many. */
  #freeBytes(): number {
    return this.#extraSessions().reduce((free, { bytes }) => free - bytes, this.#plan.spareBytes);
  }

  #session(name: GraphName): PackSession | undefined {
    return this.sessions.find((session) => session.name === name);
  }

  /** For the usual clip; the one with the least memory when even that does not fit. */
  #usualPlan(): MemoryPlan {
    const { memory, budgetBytes, usualClip } = this.#options;
    try {
      return planMemory(usualClip, memory, budgetBytes);
    } catch {
      return leastMemoryPlan(usualClip, memory, budgetBytes);
    }
  }
}
