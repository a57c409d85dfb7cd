/**
 * A graph of a pack whose session opens when it is run, may be released between runs, and opens again by itself.
 * Who has to go before it opens is decided by the caller. Knows no budget.
 */
import type { GraphName } from './model-pack.ts';
import { OnnxSession, type SessionOptions, type TensorSpec } from './session.ts';

/** After that it counts as hung. */
const longestOpeningMs = 600_000;

export class PackSession {
  readonly name: GraphName;
  readonly #path: string;
  readonly #options: SessionOptions;
  readonly #rivals: (name: GraphName) => readonly PackSession[];
  readonly #whileOpening: () => void;
  #session: OnnxSession | undefined;
  /** The same for every opening: the file does not change under a running engine. */
  #inputs: readonly TensorSpec[] = [];
  #outputs: readonly TensorSpec[] = [];
  #isWholeOnDevice = true;
  #runMsBefore = 0;
  #openMs = 0;

  /**
   * @param rivals asked before every run: the open sessions that may not stay open beside this one
   * @param whileOpening called every second while the session opens: gigabytes from a slow disk take their time
   */
  constructor(
    name: GraphName,
    path: string,
    options: SessionOptions,
    rivals: (name: GraphName) => readonly PackSession[],
    whileOpening: () => void,
  ) {
    this.name = name;
    this.#path = path;
    this.#options = options;
    this.#rivals = rivals;
    this.#whileOpening = whileOpening;
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
    return this.#session !== undefined;
  }

  /** Milliseconds spent in runs, over all openings. */
  get runMs(): number {
    return this.#runMsBefore + (this.#session?.runMs ?? 0);
  }

  /** Milliseconds spent in opening it. */
  get openMs(): number {
    return this.#openMs;
  }

  /** Throws what OnnxSession.open throws. */
  async open(): Promise<OnnxSession> {
    if (this.#session) return this.#session;
    const startedAt = performance.now();
    const timer = setInterval(() => {
      if (performance.now() - startedAt < longestOpeningMs) this.#whileOpening();
    }, 1000);
    const session = await OnnxSession.open(this.name, this.#path, this.#options).finally(() =>
      clearInterval(timer),
    );
    this.#openMs += performance.now() - startedAt;
    this.#session = session;
    this.#inputs = session.inputs;
    this.#outputs = session.outputs;
    this.#isWholeOnDevice = session.isWholeOnDevice;
    return session;
  }

  /**
   * As OnnxSession.run; opens the session when it is not open, and throws what opening throws. A session that is open
   * has its feeds before this returns, so that whatever the caller does next happens beside the run.
   */
  run(...args: Parameters<OnnxSession['run']>): ReturnType<OnnxSession['run']> {
    const rivals = this.#rivals(this.name);
    if (this.#session && rivals.length === 0) return this.#session.run(...args);
    return this.#openAndRun(rivals, args);
  }

  async #openAndRun(
    rivals: readonly PackSession[],
    args: Parameters<OnnxSession['run']>,
  ): ReturnType<OnnxSession['run']> {
    for (const rival of rivals) await rival.release();
    const session = await this.open();
    return await session.run(...args);
  }

  /** Gives its memory back, all of it. The next run opens it again. */
  async release(): Promise<void> {
    const session = this.#session;
    if (!session) return;
    this.#session = undefined;
    this.#runMsBefore += session.runMs;
    await session.release();
  }
}
