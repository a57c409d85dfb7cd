/**
 * A graph of a pack whose session opens when it is run, may be released between runs, and opens again by itself. Where
 * the caller allows it, the graph has several sessions open, each for one shape of its input: cuDNN looks for its
 * kernels anew whenever a session's input changes its shape, also back to one that it has had. Who has to go before one
 * opens, and whether there is room for another, is decided by the caller. Knows no budget.
 */
import { isKinoraError } from '../../errors.ts';
import type { GraphName } from '../packs/graphs.ts';
import { OnnxSession, type SessionOptions, type TensorSpec } from '../sessions/session.ts';

/** One open session of a graph. */
export interface Copy {
  readonly session: OnnxSession;
  /** Of the input of its latest run; empty before the first. */
  dims: readonly number[];
  /** Activations of its largest run, in bytes. */
  heldBytes: number;
  /** Counts the runs of all sessions, so that the least recently used is known. */
  lastRun: number;
  /** True for the one that every graph has a share for in the present plan; the others live on what is left. */
  isPlanned: boolean;
}

/** What sessions of a pack ask about each other. */
export interface Room {
  /** Asked before every run: the open sessions that may not stay open beside this one. */
  readonly rivals: (name: GraphName) => readonly PackSession[];
  /** What a run with an input of such dims needs, in bytes. */
  readonly activationBytes: (name: GraphName, dims: readonly number[]) => number;
  /**
   * Asked when no open copy has run such dims: the copy to be used all the same, or whether another one is opened as
   * the plan's own or beside it.
   */
  readonly place: (session: PackSession, dims: readonly number[]) => Promise<Copy | 'planned' | 'beside'>;
  /** One after the other: two that open at a time would not see each other. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  /** Nobody has a turn or waits for one. */
  readonly isQuiet: () => boolean;
  /** Called every second while a session opens: gigabytes from a slow disk take their time. */
  readonly whileOpening: () => void;
}

/** After that it counts as hung. */
const longestOpeningMs = 600_000;

type RunArguments = Parameters<OnnxSession['run']>;

let runs = 0;

export class PackSession {
  readonly name: GraphName;
  readonly #path: string;
  readonly #options: SessionOptions;
  readonly #room: Room;
  #maxCopies: number;
  #copies: readonly Copy[] = [];
  /** The same for every opening: the file does not change under a running engine. */
  #inputs: readonly TensorSpec[] = [];
  #outputs: readonly TensorSpec[] = [];
  #isWholeOnDevice = true;
  /** Given up, but not released yet. */
  readonly #leaving = new Set<Copy>();
  #runMsBefore = 0;
  #openMs = 0;

  /** @param maxCopies 1: one session for all shapes */
  constructor(name: GraphName, path: string, options: SessionOptions, room: Room, maxCopies = 1) {
    this.name = name;
    this.#path = path;
    this.#options = options;
    this.#room = room;
    this.#maxCopies = maxCopies;
  }

  /** Known once it was open for the first time. */
  get inputs(): readonly TensorSpec[] {
    return this.#inputs;
  }

  get outputs(): readonly TensorSpec[] {
    return this.#outputs;
  }

  get isWholeOnDevice(): boolean {
    return this.#isWholeOnDevice;
  }

  get isOpen(): boolean {
    return this.#copies.length > 0;
  }

  get copies(): readonly Copy[] {
    return this.#copies;
  }

  get maxCopies(): number {
    return this.#maxCopies;
  }

  /** Milliseconds spent in runs, over all openings. */
  get runMs(): number {
    const copies = [...this.#copies, ...this.#leaving];
    return copies.reduce((sum, { session }) => sum + session.runMs, this.#runMsBefore);
  }

  /** Milliseconds spent in opening it. */
  get openMs(): number {
    return this.#openMs;
  }

  /** The open copy that runs such an input without a search for kernels. */
  copyFor(dims: readonly number[]): Copy | undefined {
    if (this.#maxCopies === 1) return this.#copies[0];
    const same = this.#copies.find((copy) => sameDims(copy.dims, dims));
    return same ?? this.#copies.find((copy) => copy.dims.length === 0);
  }

  /** Opens it when it is not open. Throws what OnnxSession.open throws. */
  async open(): Promise<void> {
    if (!this.isOpen) await this.#openCopy(true);
  }

  /**
   * As OnnxSession.run; opens the session when it is not open, and throws what opening throws. A session that is open
   * has its feeds before this returns, so that whatever the caller does next happens beside the run. Runs begin in the
   * order in which they were asked for, those of all sessions of a pack.
   */
  run(...args: RunArguments): ReturnType<OnnxSession['run']> {
    const dims = dimsOf(args[0]);
    const copy = this.copyFor(dims);
    const isReady = copy && this.#room.isQuiet() && this.#room.rivals(this.name).length === 0;
    if (isReady) return this.#runWith(copy, dims, args);
    return this.#room.inTurn(async () => {
      for (const rival of this.#room.rivals(this.name)) await rival.release();
      const found = this.copyFor(dims) ?? (await this.#anotherFor(dims));
      return await this.#runWith(found, dims, args);
    });
  }

  /** Gives its memory back, all of it or that of one copy. The next run opens it again. */
  async release(only?: Copy): Promise<void> {
    const leaving = this.#copies.filter((copy) => only === undefined || copy === only);
    this.#copies = this.#copies.filter((copy) => !leaving.includes(copy));
    for (const copy of leaving) this.#leaving.add(copy);
    for (const copy of leaving) {
      await copy.session.release(); // after runs that it was given before
      this.#leaving.delete(copy);
      this.#runMsBefore += copy.session.runMs;
    }
  }

  #runWith(copy: Copy, dims: readonly number[], args: RunArguments): ReturnType<OnnxSession['run']> {
    copy.dims = dims;
    copy.lastRun = ++runs;
    copy.heldBytes = Math.max(copy.heldBytes, this.#room.activationBytes(this.name, dims));
    return copy.session.run(...args);
  }

  async #anotherFor(dims: readonly number[]): Promise<Copy> {
    if (!this.isOpen) return await this.#openCopy(true);
    const place = await this.#room.place(this, dims);
    if (typeof place === 'object') return place;
    try {
      return await this.#openCopy(place === 'planned');
    } catch (error) {
      const [first] = [...this.#copies].sort((a, b) => a.lastRun - b.lastRun);
      if (!isKinoraError(error) || error.code !== 'OUT_OF_MEMORY' || !first) throw error;
      // The device has less than the plan thought: from now on the copies that there are change their shapes.
      this.#maxCopies = this.#copies.length;
      return first;
    }
  }

  async #openCopy(isPlanned: boolean): Promise<Copy> {
    const startedAt = performance.now();
    const timer = setInterval(() => {
      if (performance.now() - startedAt < longestOpeningMs) this.#room.whileOpening();
    }, 1000);
    const session = await OnnxSession.open(this.name, this.#path, this.#options).finally(() =>
      clearInterval(timer),
    );
    this.#openMs += performance.now() - startedAt;
    const copy: Copy = { session, dims: [], heldBytes: 0, lastRun: runs, isPlanned };
    this.#copies = [...this.#copies, copy];
    this.#inputs = session.inputs;
    this.#outputs = session.outputs;
    this.#isWholeOnDevice = session.isWholeOnDevice;
    return copy;
  }
}

/** What decides the shapes of all inputs of the graphs that have copies: in a core, one sample serves all rows. */
function dimsOf({ sample, latent, factors }: RunArguments[0]): readonly number[] {
  const [one = 0, ...dims] = (sample ?? latent)?.dims ?? [];
  if (one === 0) return [];
  return [factors ? (factors.dims[0] ?? 0) - 1 : one, ...dims];
}

export function sameDims(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}
