/**
 * Secrets and signatures of webhooks, by the Standard Webhooks specification
 * (https://github.com/standard-webhooks/standard-webhooks). Every secret is derived from one key in the data folder, so
 * Redis holds none.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';

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
