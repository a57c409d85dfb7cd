/**
 * One graph of a pack. Its session opens with the first run, may be released between runs, and opens again with the
 * next. A graph may have several sessions open, each for one shape of its input: cuDNN searches for its kernels whenever
 * the input of a session changes its shape, even back to an earlier one. The owner decides which sessions have to be
 * released first and whether another may be opened; this class knows no budget.
 */
import { isKinoraError } from '../../errors.ts';
import type { GraphName } from '../packs/graphs.ts';
import { OnnxSession, type SessionOptions } from '../sessions/session.ts';
import type { TensorSpec } from '../sessions/tensor.ts';

export interface OpenSession {
  readonly session: OnnxSession;
  /** Of the input of its latest run; empty before the first. */
  dims: readonly number[];
  /** Activations of its largest run, in bytes. */
  heldBytes: number;
  /** Counts the runs of all sessions, so that the least recently used is known. */
  lastRun: number;
  /** True for the one session of the graph that the present plan counts; others are extra and use what is left. */
  isPlanned: boolean;
}

/** What to do for a run whose shape no open session has: use another session all the same, or open one. */
export type SessionChoice = { readonly use: OpenSession } | { readonly open: 'planned' | 'extra' };

/** What a graph needs to know of the sessions of the other graphs. */
export interface SessionOwner {
  /** The open sessions that must be released before this graph runs. */
  toRelease(name: GraphName): readonly PackSession[];
  /** Bytes that a run with an input of such dims needs. */
  activationBytes(name: GraphName, dims: readonly number[]): number;
  choose(session: PackSession, dims: readonly number[]): Promise<SessionChoice>;
  /** Runs one task after the other: two that open at a time would not count each other's memory. */
  inTurn<T>(task: () => Promise<T>): Promise<T>;
  /** No task runs or waits. */
  isIdle(): boolean;
  /** Called every second while a session opens: reading gigabytes from a slow disk takes long. */
  whileOpening(): void;
}

/** After that, opening counts as hung and is no longer reported by whileOpening. */
const longestOpeningMs = 600_000;

type RunArguments = Parameters<OnnxSession['run']>;

let runs = 0;

export class PackSession {
  readonly name: GraphName;
  readonly #path: string;
  readonly #options: SessionOptions;
  readonly #owner: SessionOwner;
  #maxSessions: number;
  #openSessions: readonly OpenSession[] = [];
  /** The same for every opening: the file does not change under a running engine. */
  #inputs: readonly TensorSpec[] = [];
  #outputs: readonly TensorSpec[] = [];
  /** Their release has begun and has not ended. */
  readonly #closing = new Set<OpenSession>();
  #runMsOfReleased = 0;
  #openMs = 0;

  /** @param maxSessions 1: one session for all shapes */
  constructor(name: GraphName, path: string, options: SessionOptions, owner: SessionOwner, maxSessions = 1) {
    this.name = name;
    this.#path = path;
    this.#options = options;
    this.#owner = owner;
    this.#maxSessions = maxSessions;
  }

  /** Empty until it was open for the first time. */
  get inputs(): readonly TensorSpec[] {
    return this.#inputs;
  }

  get outputs(): readonly TensorSpec[] {
    return this.#outputs;
  }

  get isOpen(): boolean {
    return this.#openSessions.length > 0;
  }

  get openSessions(): readonly OpenSession[] {
    return this.#openSessions;
  }

  get maxSessions(): number {
    return this.#maxSessions;
  }

  /** Milliseconds spent in runs, over all openings. */
  get runMs(): number {
    const sessions = [...this.#openSessions, ...this.#closing];
    return sessions.reduce((sum, { session }) => sum + session.runMs, this.#runMsOfReleased);
  }

  /** Milliseconds spent in opening it. */
  get openMs(): number {
    return this.#openMs;
  }

  /** The open session that runs such an input without a search for kernels. */
  sessionFor(dims: readonly number[]): OpenSession | undefined {
    if (this.#maxSessions === 1) return this.#openSessions[0];
    const same = this.#openSessions.find((open) => sameDims(open.dims, dims));
    return same ?? this.#openSessions.find((open) => open.dims.length === 0);
  }

  /** Opens it when it is not open. Throws what OnnxSession.open throws. */
  async open(): Promise<void> {
    if (!this.isOpen) await this.#open(true);
  }

  /**
   * As OnnxSession.run. Opens the session when it is not open, and throws what opening throws. An open session has its
   * feeds when this returns, so that the caller's next work happens during the run. The runs of all sessions of a pack
   * begin in the order of the calls.
   */
  run(...args: RunArguments): ReturnType<OnnxSession['run']> {
    const dims = dimsOf(args[0]);
    const ready = this.sessionFor(dims);
    if (ready && this.#owner.isIdle() && this.#owner.toRelease(this.name).length === 0) {
      return this.#runWith(ready, dims, args);
    }
    return this.#owner.inTurn(async () => {
      for (const other of this.#owner.toRelease(this.name)) await other.release();
      const open = this.sessionFor(dims) ?? (await this.#chooseOrOpen(dims));
      return await this.#runWith(open, dims, args);
    });
  }

  /** Gives the memory of all its sessions back, or that of one. The next run opens it again. */
  async release(only?: OpenSession): Promise<void> {
    const closing = this.#openSessions.filter((open) => only === undefined || open === only);
    this.#openSessions = this.#openSessions.filter((open) => !closing.includes(open));
    for (const open of closing) this.#closing.add(open);
    for (const open of closing) {
      await open.session.release(); // after the runs that it was given before
      this.#closing.delete(open);
      this.#runMsOfReleased += open.session.runMs;
    }
  }

  #runWith(open: OpenSession, dims: readonly number[], args: RunArguments): ReturnType<OnnxSession['run']> {
    open.dims = dims;
    open.lastRun = ++runs;
    open.heldBytes = Math.max(open.heldBytes, this.#owner.activationBytes(this.name, dims));
    return open.session.run(...args);
  }

  async #chooseOrOpen(dims: readonly number[]): Promise<OpenSession> {
    if (!this.isOpen) return await this.#open(true);
    const choice = await this.#owner.choose(this, dims);
    if ('use' in choice) return choice.use;
    try {
      return await this.#open(choice.open === 'planned');
    } catch (error) {
      const [oldest] = leastRecentlyUsedFirst(this.#openSessions);
      if (!isKinoraError(error) || error.code !== 'OUT_OF_MEMORY' || !oldest) throw error;
      // The device has less memory than the plan assumed: from now on the open sessions change their shapes.
      this.#maxSessions = this.#openSessions.length;
      return oldest;
    }
  }

  async #open(isPlanned: boolean): Promise<OpenSession> {
    const startedAt = performance.now();
    const timer = setInterval(() => {
      if (performance.now() - startedAt < longestOpeningMs) this.#owner.whileOpening();
    }, 1000);
    const session = await OnnxSession.open(this.name, this.#path, this.#options).finally(() =>
      clearInterval(timer),
    );
    this.#openMs += performance.now() - startedAt;
    const open: OpenSession = { session, dims: [], heldBytes: 0, lastRun: runs, isPlanned };
    this.#openSessions = [...this.#openSessions, open];
    this.#inputs = session.inputs;
    this.#outputs = session.outputs;
    return open;
  }
}

/**
 * The dims that decide the shapes of all inputs, for the graphs that may have several sessions; the batch of a core is
 * the number of its rows, although `sample` has one row for all.
 */
function dimsOf({ sample, latent, factors }: RunArguments[0]): readonly number[] {
  const [batch = 0, ...dims] = (sample ?? latent)?.dims ?? [];
  if (batch === 0) return [];
  return [factors ? (factors.dims[0] ?? 0) - 1 : batch, ...dims];
}

export function sameDims(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

export function leastRecentlyUsedFirst(sessions: readonly OpenSession[]): OpenSession[] {
  return [...sessions].sort((a, b) => a.lastRun - b.lastRun);
}
