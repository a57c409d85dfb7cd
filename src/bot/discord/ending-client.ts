/**
 * A client of discord.js that stays ended. By itself it lets a shard that is between two attempts to connect go on with the next
 * one, beside the client that replaces it; a shard that is ended in the middle of a handshake ends the process when that
 * handshake fails; and one that waits for Discord's "ready" may never end.
 */
import { Client, type ClientOptions, SimpleShardingStrategy } from 'discord.js';
import { withDeadline } from '../../deadline.ts';

const endWithinMs = 5_000;

type Manager = ConstructorParameters<typeof SimpleShardingStrategy>[0];

export class EndingClient extends Client {
  readonly #over: AbortController;

  constructor(options: ClientOptions) {
    const over = new AbortController();
    const buildStrategy = (manager: Manager) => new EndingShards(manager, over.signal);
    super({ ...options, ws: { ...options.ws, buildStrategy } });
    this.#over = over;
  }

  override async destroy(): Promise<void> {
    this.#over.abort();
    await super.destroy();
  }
}

class EndingShards extends SimpleShardingStrategy {
  readonly #over: AbortSignal;
  /** Those whose present connection Discord has greeted. */
  readonly #greeted = new Set<number>();

  constructor(manager: Manager, over: AbortSignal) {
    super(manager);
    this.#over = over;
    const { retrieveSessionInfo } = manager.options;
    // Asked at the beginning of each attempt.
    manager.options.retrieveSessionInfo = (id) =>
      over.aborted ? new Promise<never>(() => {}) : retrieveSessionInfo(id);
    manager.on('hello', ({ shardId }: { readonly shardId: number }) => {
      this.#greeted.add(shardId);
      if (over.aborted) void this.destroy();
    });
    manager.on('closed', ({ shardId }: { readonly shardId: number }) => void this.#greeted.delete(shardId));
  }

  override async connect(): Promise<void> {
    if (this.#over.aborted) throw new Error('ended before Discord told of its gateway');
    await super.connect();
  }

  /**
   * A shard in the middle of a handshake ends with that, and one that is between two attempts makes no other. One that Discord
   * has not told that it is ready ends, but discord.js may wait for ever to hear of that.
   * discord.js has no public way to end one shard of several, so its own map is read; types tell when that changes.
   */
  override async destroy(options?: Parameters<SimpleShardingStrategy['destroy']>[0]): Promise<void> {
    const ending = Promise.all([...this.#greeted].map((id) => this['shards'].get(id)?.destroy(options)));
    await withDeadline(endWithinMs, ending, () => {});
  }
}
