/** Groups that become supergroups, which have another id: what was set for the old one holds for the new one. */
import type { Update } from 'telegraf/types';
import type { Logger } from '../../log.ts';
import { retry } from '../../retry.ts';
import type { Administration } from '../admin/administration.ts';
import { errorCode, type GroupMove } from './api.ts';
import { chatAsPerson, communityKey } from './people.ts';

/** Told by a service message in the old group, and by one in the new. */
export function groupMove(update: Update): GroupMove | undefined {
  if (!('message' in update)) return undefined;
  const { message } = update;
  if ('migrate_to_chat_id' in message) return { from: message.chat.id, to: message.migrate_to_chat_id };
  if ('migrate_from_chat_id' in message) return { from: message.migrate_from_chat_id, to: message.chat.id };
  return undefined;
}

const retryEveryMs = 1_000;

export class GroupMoves {
  readonly #administration: Administration;
  readonly #log: Logger;
  readonly #stopping = new AbortController();

  constructor(administration: Administration, log: Logger) {
    this.#administration = administration;
    this.#log = log;
  }

  stop(): void {
    this.#stopping.abort();
  }

  /**
   * Moves what was set for the group, and for those who write as it. Repeats that until Redis is there. May be called
   * again for the same group.
   * @throws when it is stopped before
   */
  async follow({ from, to }: GroupMove): Promise<void> {
    for (const keyOf of [communityKey, (id: number) => chatAsPerson(id, undefined).userKey]) {
      await retry(
        () => this.#administration.move(keyOf(from), keyOf(to)),
        (error) => {
          const err = errorCode(error);
          this.#log.warn({ err }, 'the settings of a group could not be moved; will try again');
          return retryEveryMs;
        },
        this.#stopping.signal,
      );
    }
  }
}
