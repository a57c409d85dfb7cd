/** What the supervisor tells of its child. */
import type { SerializedError } from '../errors.ts';

export interface EngineStatus {
  /**
   * `unloaded`: it was idle for so long that its child left; the next run() loads again. `dead`: it could not be started;
   * the next run() tries again. `stopped`: by stop(), for good.
   */
  readonly state: 'loading' | 'idle' | 'busy' | 'unloaded' | 'dead' | 'stopped';
  readonly pid: number | null;
  /** Jobs that the present child has answered, with a result or an error. */
  readonly jobsServed: number;
  /** Children started so far. */
  readonly starts: number;
  /** Resident memory of the child when it last reported, in bytes. */
  readonly rssBytes: number;
  /** What the latest child took to load the first pack, in ms; null before. */
  readonly loadMs: number | null;
  /** Ids of the packs that are loaded, as the child last said. */
  readonly loaded: readonly string[];
  /** Why the engine is dead. */
  readonly error: SerializedError | null;
}
