/** The commands of admins and moderators, and who may use them. Knows no platform. */
import type { Logger } from '../../log.ts';
import { moveCommunity } from '../../queue/move-community.ts';
import type { Person, Place } from '../people.ts';
import { failedOrUnavailable, refused } from '../refusals.ts';
import type { AdminCommand, Misunderstood } from './commands.ts';
import type { MisunderstoodRule, RuleCommand } from './rule-commands.ts';
import type { RuleBook } from './rules.ts';
import { type AdminOutcome, type AdminTools, runAdminCommand } from './run-command.ts';
import { type RuleOutcome, runRuleCommand } from './run-rule-command.ts';

export class Administration {
  readonly #tools: AdminTools;
  readonly #rules: RuleBook;
  readonly #log: Logger;

  constructor(tools: AdminTools, rules: RuleBook, log: Logger) {
    this.#tools = tools;
    this.#rules = rules;
    this.#log = log;
  }

  /** For admins. Never throws for what they write, nor for a Redis that does not answer. */
  async admin(person: Person, command: AdminCommand | Misunderstood): Promise<AdminOutcome> {
    if (!person.isAdmin) return refused({ kind: 'notAdmin' });
    try {
      return await runAdminCommand(command, person.userKey, this.#tools);
    } catch (error) {
      return failedOrUnavailable(error, this.#log);
    }
  }

  /** For moderators of the community that the place is in, and for admins. */
  async rules(person: Person, place: Place, command: RuleCommand | MisunderstoodRule): Promise<RuleOutcome> {
    const { communityKey } = place;
    if (communityKey === undefined) return { kind: 'notHere' };
    if (!person.isModerator && !person.isAdmin) return { kind: 'notModerator' };
    try {
      const context = { book: this.#rules, by: person.userKey, communityKey, place };
      return await runRuleCommand(command, context);
    } catch (error) {
      return failedOrUnavailable(error, this.#log);
    }
  }

  /** @throws what Redis throws */
  async isBanned({ userKey }: Person): Promise<boolean> {
    return await this.#tools.bans.isBanned(userKey);
  }

  /**
   * The platform knows a community by another key now: what was set for it holds there. May be repeated.
   * @throws what Redis throws
   */
  async move(from: string, to: string): Promise<void> {
    const { redis, keys } = this.#tools.trail;
    await moveCommunity(redis, keys, from, to);
    for (const community of [from, to]) this.#rules.forget(community);
  }
}
