/** What admins and moderators write, and who may write it. Knows no platform. */
import type { Logger } from '../../log.ts';
import type { Person, Place } from '../people.ts';
import { failedOrUnavailable } from '../refusals.ts';
import { type Messages, messagesFor } from '../sentences/catalogue.ts';
import { renderRefusal } from '../sentences/render.ts';
import { type AdminTools, runAdminWords } from './commands.ts';
import { runRuleWords } from './rule-commands.ts';
import type { RuleBook } from './rules.ts';

export class Administration {
  readonly #admin: AdminTools;
  readonly #rules: RuleBook;
  readonly #log: Logger;

  constructor(admin: AdminTools, rules: RuleBook, log: Logger) {
    this.#admin = admin;
    this.#rules = rules;
    this.#log = log;
  }

  /** Words of an admin: "quota set user:discord:1 20", "ban telegram:7 24 spam", "pause". */
  async adminWords(person: Person, words: readonly string[]): Promise<string> {
    const say = messagesFor(person.locale);
    if (!person.isAdmin) return say.refusal.notAdmin;
    try {
      return await runAdminWords(this.#admin, person.userKey, words, say);
    } catch (error) {
      return this.#unavailable(error, say);
    }
  }

  /** Words of a moderator, without the leading "rules": "show", "channels allow here", "words add foo". */
  async ruleWords(person: Person, place: Place, words: readonly string[]): Promise<string> {
    const say = messagesFor(person.locale);
    const { communityKey, channelKey, isAgeRestricted, hasRoles = true } = place;
    if (communityKey === undefined) return say.rules.notHere;
    if (!person.isModerator && !person.isAdmin) return say.rules.notModerator;
    const by = person.userKey;
    try {
      const given = {
        book: this.#rules,
        by,
        communityKey,
        channelKey,
        isAgeRestricted,
        hasRoles,
        words,
        say,
      };
      return await runRuleWords(given);
    } catch (error) {
      return this.#unavailable(error, say);
    }
  }

  #unavailable(error: unknown, say: Messages): string {
    return renderRefusal(failedOrUnavailable(error, this.#log).reason, say);
  }
}
