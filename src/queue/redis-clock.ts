/** Redis's clock without a question each time: on a slow network people wait for every one. */
import { type Redis, redisTime } from './redis.ts';

/** Older than this, it is measured again beside its use. */
const refreshAfterMs = 10_000;
/** The machine's clock was set, or the machine slept, and monotonic time may have stood still. */
const jumpMs = 1_000;

interface Measured {
  /** From monotonic time to Redis's. */
  readonly offsetMs: number;
  /** From monotonic time to the machine's. */
  readonly machineMs: number;
  readonly at: number;
}

const machineOffset = (): number => Date.now() - performance.now();

export class RedisClock {
  readonly #redis: Redis;
  #measured: Measured | undefined;
  #measuring: Promise<Measured> | undefined;

  constructor(redis: Redis) {
    this.#redis = redis;
    this.#refresh();
  }

  /** Milliseconds since 1970. Asks Redis where it was never asked, or the machine's clock has jumped. */
  async now(): Promise<number> {
    const known = this.#measured;
    const isTrusted = known !== undefined && Math.abs(machineOffset() - known.machineMs) < jumpMs;
    if (isTrusted && performance.now() - known.at > refreshAfterMs) this.#refresh();
    const { offsetMs } = isTrusted ? known : await this.#measure();
    return Math.round(performance.now() + offsetMs);
  }

  #refresh(): void {
    this.#measure().catch(() => {}); // asked again when it is needed
  }

  async #measure(): Promise<Measured> {
    this.#measuring ??= this.#ask().finally(() => {
      this.#measuring = undefined;
    });
    this.#measured = await this.#measuring;
    return this.#measured;
  }

  async #ask(): Promise<Measured> {
    const time = await redisTime(this.#redis);
    const at = performance.now();
    return { offsetMs: time - at, machineMs: machineOffset(), at };
  }
}
