/** A pressed button: the person's client shows a spinner until the bot answers. */
import { randomInt } from 'node:crypto';
import { badRequest } from './api-error.ts';
import type { FakeMessage } from './message.ts';
import type { FakeUser } from './people.ts';

export interface PressAnswer {
  /** Empty when the bot only ended the spinner. */
  readonly text: string;
  /** A dialog rather than a line that vanishes. */
  readonly alert: boolean;
  readonly url: string | undefined;
  readonly at: number;
}

export class FakePress {
  readonly id = `${randomInt(2 ** 40)}${randomInt(2 ** 40)}`;
  readonly at = Date.now();
  readonly user: FakeUser;
  readonly message: FakeMessage;
  readonly data: string;
  readonly label: string;
  readonly answers: PressAnswer[] = [];
  #expiresAt: number;

  constructor(user: FakeUser, message: FakeMessage, button: { text: string; data: string }, lifeMs: number) {
    this.user = user;
    this.message = message;
    this.label = button.text;
    this.data = button.data;
    this.#expiresAt = this.at + lifeMs;
  }

  get answer(): PressAnswer | undefined {
    return this.answers[0];
  }

  expire(): void {
    this.#expiresAt = 0;
  }

  /** @throws ApiError 400 when it is too late */
  reply(answer: PressAnswer): void {
    if (Date.now() >= this.#expiresAt) throw tooOld();
    this.answers.push(answer);
  }

  toApi(): object {
    return {
      id: this.id,
      from: this.user.api,
      message: this.message.deleted ? this.message.inaccessible() : this.message.toApi(),
      chat_instance: String(this.message.chat.id * 31),
      data: this.data,
    };
  }
}

export function tooOld() {
  return badRequest('query is too old and response timeout expired or query ID is invalid');
}
