/** Kinora over HTTP: one more surface on the queue, beside the chats. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ChatPlatform, Services } from '../bot/platform.ts';
import { type Deliver, DeliveryDelayed } from '../bot/upkeep/delivery.ts';
import { KinoraError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { OpenUploads } from '../queue/open-uploads.ts';
import { connectRedis, type RedisAddress } from '../queue/redis.ts';
import { Webhooks } from '../queue/webhooks.ts';
import type { Shortcuts } from '../request/request.ts';
import { isLoopback } from './origin.ts';
import { Outgoing, type OutgoingOptions } from './outgoing/outgoing.ts';
import { whenPortIsFree } from './port.ts';
import { buildServer, type ServerLimits } from './server.ts';
import { News } from './videos/events.ts';
import { Repetitions } from './videos/idempotency.ts';
import { PictureHeaders } from './videos/picture-headers.ts';
import type { WebServer } from './web-server.ts';
import { WebhookSender } from './webhooks/sender.ts';
import { WebhookSigner } from './webhooks/signing.ts';

export interface WebOptions {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  readonly redis: RedisAddress;
  readonly log: Logger;
  /** What the operator gives up for speed. */
  readonly shortcuts?: Shortcuts;
  /** For what the API keeps outside of Redis: the key of the webhooks' secrets. */
  readonly dataFolder: string;
  /** Under which people reach it, without a path; undefined where only this machine does. */
  readonly publicUrl?: string | undefined;
  /** Of the studio page, as it was built; the usual one when absent. */
  readonly pageFolder?: string;
  /** How addresses that people give are called. */
  readonly outgoing: OutgoingOptions;
  /** Pauses between the attempts of a webhook; shorter in tests. */
  readonly webhookPausesMs?: readonly number[];
  readonly limits?: Partial<ServerLimits>;
}

interface Running {
  readonly server: WebServer;
  readonly sender: WebhookSender;
  close(): Promise<void>;
}

/** Where "npm run build:page" writes; part of the checkout, so that Kinora serves it without Vite. */
export const builtPage = fileURLToPath(new URL('page-built', import.meta.url));
const notStartedRetryMs = 1_000;

export class WebPlatform implements ChatPlatform {
  readonly name = 'web';
  readonly #options: WebOptions;
  #running: Running | null = null;

  constructor(options: WebOptions) {
    this.#options = options;
  }

  /** Such as http://127.0.0.1:7080; empty before start(). */
  get address(): string {
    return this.#running?.server.listeningOrigin ?? '';
  }

  /** @throws KinoraError INVALID_CONFIG when the port cannot be used */
  async start(services: Services): Promise<void> {
    const { host, port, publicUrl, log } = this.#options;
    if (publicUrl === undefined && !isLoopback(host)) {
      log.warn(
        { host },
        'the API and the page are open to a network, where links, cookies and keys travel in the clear: put a proxy with TLS in front, and set KINORA_PUBLIC_URL to its address',
      );
    }
    const running = await this.#build(services);
    try {
      await whenPortIsFree(() => running.server.listen({ host, port }));
    } catch (error) {
      await running.close();
      const { code } = error as NodeJS.ErrnoException;
      throw new KinoraError('INVALID_CONFIG', `KINORA_WEB_PORT: ${host}:${port} cannot be used (${code}).`, {
        cause: error,
      });
    }
    this.#running = running;
    log.info({ address: this.address }, 'the API listens');
  }

  async #build(services: Services): Promise<Running> {
    const { log, dataFolder, shortcuts = {} } = this.#options;
    const onError = (error: Error): void => log.warn({ err: error.message }, 'redis of the API');
    const redis = connectRedis(this.#options.redis, 'fail-fast', onError);
    const patient = connectRedis(this.#options.redis, 'patient', onError);
    const { client, artifacts, account, models } = services;
    const { keys } = client;
    const news = new News();
    await news.start(client);
    const signer = await WebhookSigner.open(path.join(dataFolder, 'webhook.key'));
    const isAnother = await signer.isAnother(redis, keys).catch(() => false); // asked again at the next start
    if (isAnother) {
      log.error(
        'webhook.key in the data folder is not the one with which the webhooks were made, so their receivers refuse what is sent: copy it from the machine where they were made',
      );
    }
    const outgoing = new Outgoing(this.#options.outgoing);
    const sender = new WebhookSender({
      ...{ redis, patient, keys, signer, outgoing, log },
      ...(this.#options.webhookPausesMs ? { pausesMs: this.#options.webhookPausesMs } : {}),
    });
    const retentionMs = account.retentionDays * 86_400_000;
    const repetitions = new Repetitions(redis, keys);
    const server = await buildServer({
      ...{ redis, keys, log },
      videos: {
        ...{ services, client, artifacts, models, shortcuts, retentionMs, repetitions, news, outgoing },
        pictures: new PictureHeaders(artifacts),
        openUploads: new OpenUploads(redis, keys),
      },
      address: { publicUrl: this.#options.publicUrl, host: this.#options.host },
      isAdmin: services.isAdmin,
      pageFolder: this.#options.pageFolder ?? builtPage,
      webhooks: { webhooks: new Webhooks(redis, keys), signer, outgoing },
      ...(this.#options.limits ? { limits: this.#options.limits } : {}),
    });
    const close = async (): Promise<void> => {
      await server.close();
      news.stop();
      await sender.stop();
      await outgoing.close();
      redis.disconnect();
      patient.disconnect();
    };
    return { server, sender, close };
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = null;
    await running?.close();
  }

  /** Whoever asked fetches the answer; those who want to know of it are told. */
  readonly deliver: Deliver = async (entry, answer) => {
    if (!this.#running) throw new DeliveryDelayed('the API has not been started yet', notStartedRetryMs);
    await this.#running.sender.announce(entry, answer);
  };
}
