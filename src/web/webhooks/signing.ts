/**
 * Secrets and signatures of webhooks, by the Standard Webhooks specification
 * (https://github.com/standard-webhooks/standard-webhooks). Every secret is derived from one key in the data folder, so
 * Redis holds none.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import type { Keys } from '../../queue/keys.ts';
import type { Redis } from '../../queue/redis.ts';

const keyBytes = 32;

export class WebhookSigner {
  readonly #key: Buffer;

  private constructor(key: Buffer) {
    this.#key = key;
  }

  /** Reads the key of this Kinora, or makes it. Several bots share it. */
  static async open(file: string): Promise<WebhookSigner> {
    await writeFile(file, randomBytes(keyBytes), { flag: 'wx', mode: 0o600, flush: true }).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      },
    );
    return new WebhookSigner(await readFile(file));
  }

  /**
   * Whether the webhooks that there are were made with another key: that of another machine, or of one that is gone.
   */
  async isAnother(redis: Redis, keys: Keys): Promise<boolean> {
    const own = createHash('sha256').update(this.#key).digest('hex');
    const [known, webhooks] = await Promise.all([redis.get(keys.webhookKey), redis.hlen(keys.webhooks)]);
    if (known === own) return false;
    if (known !== null && webhooks > 0) return true;
    await redis.set(keys.webhookKey, own);
    return false;
  }

  /** As it is told to the receiver. */
  secretOf(webhookId: string): string {
    return `whsec_${this.#secret(webhookId).toString('base64')}`;
  }

  /** @returns the headers by which the receiver knows who wrote, and when */
  headersOf(webhookId: string, messageId: string, body: string, now: number): Record<string, string> {
    const timestamp = String(Math.floor(now / 1000));
    const signed = createHmac('sha256', this.#secret(webhookId)).update(`${messageId}.${timestamp}.${body}`);
    return {
      'webhook-id': messageId,
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${signed.digest('base64')}`,
    };
  }

  #secret(webhookId: string): Buffer {
    return createHmac('sha256', this.#key).update(webhookId).digest();
  }
}
