/**
 * A graph of a pack whose session opens when it is run, may be released between runs, and opens again by itself.
 * Who has to go before it opens is decided by the caller. Knows no budget.
 */
import type { GraphName } from './model-pack.ts';
import { OnnxSession, type SessionOptions, type TensorSpec } from './session.ts';

/** What sessions of a pack ask about each other. */
export interface Room {
  /** Asked before every run: the open sessions that may not stay open beside this one. */
  readonly rivals: (name: GraphName) => readonly PackSession[];
  /** One after the other: two that open at a time would not see each other. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  /** Called every second while a session opens: gigabytes from a slow disk take their time. */
  readonly whileOpening: () => void;
}

/** After that it counts as hung. */
const longestOpeningMs = 600_000;

export class PackSession {
  readonly name: GraphName;
  readonly #path: string;
  readonly #options: SessionOptions;
  readonly #room: Room;
  #session: OnnxSession | undefined;
  /** The same for every opening: the file does not change under a running engine. */
  #inputs: readonly TensorSpec[] = [];
  #outputs: readonly TensorSpec[] = [];
  #isWholeOnDevice = true;
  #runMsBefore = 0;
  #openMs = 0;

  constructor(name: GraphName, path: string, options: SessionOptions, room: Room) {
    this.name = name;
    this.#path = path;
    this.#options = options;
    this.#room = room;
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
      if (performance.now() - startedAt < longestOpeningMs) this.#room.whileOpening();
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
    if (this.#session && this.#room.rivals(this.name).length === 0) return this.#session.run(...args);
    return this.#room.inTurn(async () => {
      for (const rival of this.#room.rivals(this.name)) await rival.release();
      const session = await this.open();
      return await session.run(...args);
    });
  }

  /** Gives its memory back, all of it. The next run opens it again. */
  async release(): Promise<void> {
    const session = this.#session;
    if (!session) return;
    this.#session = undefined;
    await session.release(); // after runs that it was given before
    this.#runMsBefore += session.runMs;
  }
}
