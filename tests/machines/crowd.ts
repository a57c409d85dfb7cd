/** People who ask for videos over the HTTP API and in Telegram, and remember what they were told. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { en } from '../../src/bot/sentences/en.ts';
import { ApiKeys } from '../../src/queue/api-keys.ts';
import { type Known, WebClient } from '../chaos/web-client.ts';
import type { FakeChat } from '../fakes/telegram/chat.ts';
import type { FakeMessage } from '../fakes/telegram/message.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { type Installation, type Model, models } from './installation.ts';

const photo = await readFile(fileURLToPath(new URL('../../examples/cat.jpg', import.meta.url)));
const picture = `data:image/jpeg;base64,${photo.toString('base64')}`;
const clients = 4;
const chats = 3;
const lookEveryMs = 500;
const patienceMs = 15_000;
const settledWithinMs = 180_000;

interface Shape {
  readonly size: string;
  readonly frames: number;
  readonly steps: number;
}

const quick: Readonly<Record<Model, Shape>> = {
  [models.tiny]: { size: '64', frames: 4, steps: 4 },
  [models.svd]: { size: '64', frames: 4, steps: 4 },
  [models.builtin]: { size: '128', frames: 4, steps: 1 },
};
/** There is time to do something to it. */
const long: Shape = { size: '128', frames: 16, steps: 50 };

export class Crowd {
  readonly web: readonly WebClient[];
  readonly chats: readonly FakeChat[];
  /** Photos that were sent in chats. */
  readonly sent: FakeMessage[] = [];
  /** What nobody should have been told. */
  readonly troubles: string[] = [];
  readonly #installation: Installation;
  readonly #polling: readonly Promise<unknown>[];
  readonly #asking: Promise<unknown>[] = [];
  #asked = 0;
  #webAsked = 0;
  #isOver = false;

  private constructor(installation: Installation, web: readonly WebClient[]) {
    this.#installation = installation;
    this.web = web;
    const { telegram } = installation;
    this.chats = Array.from({ length: chats }, (_, i) =>
      telegram.privateChat({ user: telegram.user({ name: `Chatter ${i}` }), started: true }),
    );
    this.#polling = web.map((person) => this.#poll(person));
  }

  static async gather(installation: Installation): Promise<Crowd> {
    const apiKeys = new ApiKeys(installation.redis);
    const people = Array.from({ length: clients }, async (_, i) => {
      const { key, token } = await apiKeys.create({ name: `p${i}`, scopes: ['use'] });
      return new WebClient(() => installation.url, token, key.userKey, patienceMs);
    });
    return new Crowd(installation, await Promise.all(people));
  }

  async #poll(person: WebClient): Promise<void> {
    while (!this.#isOver) {
      await person.browse();
      await sleep(lookEveryMs);
    }
  }

  get videos(): readonly Known[] {
    return this.web.flatMap(({ known }) => [...known.values()]);
  }

  /** So many requests, of different people and for different models, within that time; does not wait for any of them. */
  ask(count: number, withinMs: number): void {
    const ids = Object.values(models);
    for (let i = 0; i < count; i++) {
      const n = this.#asked++;
      const model = ids[n % ids.length] ?? models.tiny;
      const asking = sleep((withinMs * i) / count).then(async () => {
        if (n % 2 === 0) await this.overApi(model);
        else await this.inChat(model);
      });
      this.#asking.push(asking.catch((error: unknown) => void this.troubles.push(String(error))));
    }
  }

  /** Resolves when it was accepted. */
  async overApi(model: Model, shape = quick[model]): Promise<Known> {
    const n = this.#webAsked++;
    const person = this.web[n % this.web.length];
    if (!person) throw new Error('there are people');
    const { size, frames, steps } = shape;
    const body = {
      ...{ prompt: `zoom in ${n}`, input_reference: picture, preset: 'fast', model, seed: n },
      ...{ size, num_frames: frames, num_inference_steps: steps },
    };
    return await person.ask({ key: `request-${n}`, body, isHeard: false, fate: 'kept' });
  }

  /** One that its worker is busy with for a while. */
  async longOverApi(model: Model, shape: Partial<Shape> = {}): Promise<Known> {
    return await this.overApi(model, { ...long, ...shape });
  }

  async inChat(model: Model): Promise<FakeMessage> {
    const n = this.sent.length;
    const chat = this.chats[n % this.chats.length];
    if (!chat) throw new Error('there are chats');
    const { size, frames, steps } = quick[model];
    const options = `model=${model} preset=fast size=${size} frames=${frames} steps=${steps} seed=${n}`;
    const message = await chat.sendsPhoto(photo, `zoom in ${n} ${options}`);
    this.sent.push(message);
    return message;
  }

  /** What the bot said to a photo. */
  answersTo(photoMessage: FakeMessage): FakeMessage[] {
    const all = this.#installation.telegram.answers(photoMessage.chat);
    return all.filter(({ replyTo }) => replyTo === photoMessage);
  }

  /** A bot may hold an update for long before it accepts it: while the bucket is away, say. */
  #isAnswered(photoMessage: FakeMessage): boolean {
    return this.answersTo(photoMessage).some(({ video, text }) => video || text !== en.status.encoding);
  }

  /** Waits until all that was asked for has been answered. The judge says what has not. */
  async settled(): Promise<void> {
    const enough = sleep(settledWithinMs, undefined, { ref: false });
    // Whoever has not asked yet cannot have been answered.
    await Promise.race([Promise.all(this.#asking), enough]);
    const { redis, keys } = this.#installation;
    const isEnded = ({ states }: Known): boolean => ['completed', 'failed'].includes(states.at(-1) ?? '');
    await eventually(
      'the end of all videos',
      async () => {
        const isAsked = this.#webAsked === this.videos.length && this.videos.every(isEnded);
        return (
          isAsked &&
          this.#installation.telegram.pendingUpdates === 0 &&
          this.sent.every((photoMessage) => this.#isAnswered(photoMessage)) &&
          (await redis.zcard(keys.pending)) === 0
        );
      },
      settledWithinMs,
    ).catch(() => {});
    this.#isOver = true;
    await Promise.race([Promise.all(this.#polling), enough]);
  }
}
