/** Kinora over HTTP: one more surface on the queue, beside the chats. */
import type { ChatPlatform, Services } from '../bot/platform.ts';
import type { Deliver } from '../bot/upkeep/delivery.ts';
import { KinoraError } from '../errors.ts';
import type { PackManifest } from '../inference/packs/manifest.ts';
import type { Logger } from '../log.ts';
import { connectRedis, type RedisAddress } from '../queue/redis.ts';
import type { Shortcuts } from '../request/request.ts';
import { whenPortIsFree } from './port.ts';
import { buildServer, type ServerLimits, type WebServer } from './server.ts';
import { News } from './videos/events.ts';
import { Repetitions } from './videos/idempotency.ts';

export interface WebOptions {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  readonly redis: RedisAddress;
  readonly log: Logger;
  /** Of the workers' model pack, where it is known. */
  readonly manifest?: PackManifest | undefined;
  /** What the operator gives up for speed. */
  readonly shortcuts?: Shortcuts;
  readonly limits?: Partial<ServerLimits>;
}

export class WebPlatform implements ChatPlatform {
  readonly name = 'web';
  readonly #options: WebOptions;
  #server: WebServer | null = null;
  #news: News | null = null;
  #closeRedis: () => void = () => {};

  constructor(options: WebOptions) {
    this.#options = options;
  }

  /** Such as http://127.0.0.1:7080; empty before start(). */
  get address(): string {
    return this.#server?.listeningOrigin ?? '';
  }

  /** @throws KinoraError INVALID_CONFIG when the port cannot be used */
  async start(services: Services): Promise<void> {
    const { host, port, log, manifest, shortcuts = {}, limits = {} } = this.#options;
    const redis = connectRedis(this.#options.redis, 'fail-fast', (error) =>
      log.warn({ err: error.message }, 'redis of the API'),
    );
    this.#closeRedis = () => redis.disconnect();
    const { client, artifacts, account } = services;
    const retentionMs = account.retentionDays * 86_400_000;
    const news = new News();
    const repetitions = new Repetitions(redis, client.keys);
    const videos = { services, client, artifacts, manifest, shortcuts, retentionMs, repetitions, news };
    await news.start(client);
    const server = await buildServer({ redis, keys: client.keys, log, limits, videos });
    try {
      await whenPortIsFree(() => server.listen({ host, port }));
    } catch (error) {
      news.stop();
      redis.disconnect();
      const { code } = error as NodeJS.ErrnoException;
      throw new KinoraError('INVALID_CONFIG', `KINORA_WEB_PORT: ${host}:${port} cannot be used (${code}).`, {
        cause: error,
      });
    }
    this.#news = news;
    this.#server = server;
    log.info({ address: this.address }, 'the API listens');
  }

  async stop(): Promise<void> {
    await this.#server?.close();
    this.#server = null;
    this.#news?.stop();
    this.#closeRedis();
  }

  /** Whoever asked fetches the answer. */
  readonly deliver: Deliver = async () => {};
}
