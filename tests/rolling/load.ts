/** Several people who ask for one video after the other, over the HTTP API and in chats, whatever is replaced meanwhile. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Known, WebClient } from '../chaos/web-client.ts';
import type { FakeChat } from '../fakes/telegram/chat.ts';
import type { FakeMessage } from '../fakes/telegram/message.ts';
import type { FakeTelegram } from '../fakes/telegram/server.ts';
import { eventually } from '../helpers/queue-harness.ts';

const photo = await readFile(new URL('../fixtures/pictures/grey.jpg', import.meta.url));
const picture = `data:image/jpeg;base64,${photo.toString('base64')}`;
const lookEveryMs = 200;
const answeredWithinMs = 300_000;

const isOver = ({ states }: Known): boolean => {
  const last = states.at(-1);
  return last === 'completed' || last === 'failed';
};

export class Load {
  readonly people: readonly WebClient[];
  readonly chats: readonly FakeChat[];
  readonly #telegram: FakeTelegram;
  readonly #doing: Promise<void>[] = [];
  /** Answered requests, of all people. */
  answered = 0;
  #asked = 0;
  readonly #askedIn = new Map<FakeChat, number>();
  #isOver = false;

  constructor(people: readonly WebClient[], chats: readonly FakeChat[], telegram: FakeTelegram) {
    this.people = people;
    this.chats = chats;
    this.#telegram = telegram;
  }

  begin(): void {
    const live = async (askOnce: () => Promise<void>): Promise<void> => {
      while (!this.#isOver) await askOnce();
    };
    for (const person of this.people) this.#doing.push(live(() => this.#overApi(person)));
    for (const chat of this.chats) this.#doing.push(live(() => this.#inChat(chat)));
    // Told by end().
    for (const doing of this.#doing) doing.catch(() => {});
  }

  /** @returns the video as its person knows it, accepted */
  async ask(person: WebClient): Promise<Known> {
    const n = this.#asked++;
    const body = { prompt: `zoom in ${n}`, input_reference: picture, size: '64', num_frames: 4, seed: n };
    const wish = { key: `request-${n}`, body: { ...body, num_inference_steps: 2 } };
    return await person.ask({ ...wish, isHeard: false, fate: 'kept' });
  }

  async untilOver(person: WebClient, video: Known): Promise<void> {
    while (!isOver(video)) {
      await sleep(lookEveryMs);
      await person.look(video);
    }
    this.answered++;
  }

  async #overApi(person: WebClient): Promise<void> {
    await this.untilOver(person, await this.ask(person));
  }

  videosIn(chat: FakeChat): FakeMessage[] {
    return this.#telegram.answers(chat).filter(({ video }) => video !== undefined);
  }

  askedIn(chat: FakeChat): number {
    return this.#askedIn.get(chat) ?? 0;
  }

  async #inChat(chat: FakeChat): Promise<void> {
    const before = this.videosIn(chat).length;
    this.#askedIn.set(chat, this.askedIn(chat) + 1);
    await chat.sendsPhoto(photo, `waves ${this.#asked++} size=64 frames=4 steps=2`);
    await eventually('a video in the chat', () => this.videosIn(chat).length > before, answeredWithinMs);
    this.answered++;
  }

  /** Waits until so many more were answered. */
  async more(count: number): Promise<void> {
    const wanted = this.answered + count;
    const failed = Promise.all(this.#doing).then(() => {
      if (this.answered < wanted) throw new Error('nobody asks any more');
    });
    await Promise.race([
      eventually(`${count} more answers`, () => this.answered >= wanted, answeredWithinMs),
      failed,
    ]);
  }

  /** Waits until everybody has what they asked for last. */
  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#doing);
  }
}
