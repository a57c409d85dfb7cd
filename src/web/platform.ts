/** Kinora over HTTP: one more surface on the queue, beside the chats. */
import type { ChatPlatform } from '../bot/platform.ts';
import { type Deliver, DeliveryImpossible } from '../bot/upkeep/delivery.ts';
import { KinoraError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { Keys } from '../queue/keys.ts';
import { connectRedis, type RedisAddress } from '../queue/redis.ts';
import { whenPortIsFree } from './port.ts';
import { buildServer, type ServerLimits, type WebServer } from './server.ts';

export interface WebOptions {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  readonly redis: RedisAddress;
  readonly log: Logger;
  readonly limits?: Partial<ServerLimits>;
}

export class WebPlatform implements ChatPlatform {
  readonly name = 'web';
  readonly #options: WebOptions;
  #server: WebServer | null = null;
  #closeRedis: () => void = () => {};

  constructor(options: WebOptions) {
    this.#options = options;
  }

  /** Such as http://127.0.0.1:7080; empty before start(). */
  get address(): string {
    return this.#server?.listeningOrigin ?? '';
  }

  /** @throws KinoraError INVALID_CONFIG when the port cannot be used */
  async start(): Promise<void> {
    const { host, port, log, limits = {} } = this.#options;
    const redis = connectRedis(this.#options.redis, 'fail-fast', (error) =>
      log.warn({ err: error.message }, 'redis of the API'),
    );
    this.#closeRedis = () => redis.disconnect();
    const server = await buildServer({ redis, keys: new Keys(), log, limits });
    try {
      await whenPortIsFree(() => server.listen({ host, port }));
    } catch (error) {
      redis.disconnect();
      const { code } = error as NodeJS.ErrnoException;
      throw new KinoraError('INVALID_CONFIG', `KINORA_WEB_PORT: ${host}:${port} cannot be used (${code}).`, {
        cause: error,
      });
    }
    this.#server = server;
    log.info({ address: this.address }, 'the API listens');
  }

  async stop(): Promise<void> {
    await this.#server?.close();
    this.#server = null;
    this.#closeRedis();
  }

  readonly deliver: Deliver = async () => {
    throw new DeliveryImpossible('the API makes no videos yet');
  };
}
