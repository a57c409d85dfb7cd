/** Makes the answers to moderators' commands of their outcomes. */
import type { CommunityRules } from '../admin/rules.ts';
import type { RuleOutcome } from '../admin/run-rule-command.ts';
import type { Messages } from './catalogue.ts';
import { asWritten, type Named, type Names } from './names.ts';
import { renderRefusal } from './render.ts';

const shownKeys = 20;
const shownText = 80;

export function renderRules(outcome: RuleOutcome, say: Messages, names: Names = asWritten): string {
  const text = say.rules;
  switch (outcome.kind) {
    case 'rules': {
      const shown = renderSettings(outcome.rules, say, names);
      return outcome.isChanged ? `${say.admin.done}\n${shown}` : shown;
    }
    case 'unchanged':
      return say.admin.unchanged;
    case 'blockedWords': {
      const { items, count, page, pages } = outcome.words;
      if (count === 0) return text.noWords;
      const quoted = items.map((word) => (word.includes(' ') && !word.startsWith('/') ? `"${word}"` : word));
      return [text.words(count, page, pages), ...quoted].join('\n');
    }
    case 'noAge':
    case 'noRoles':
    case 'noChannels':
    case 'notHere':
    case 'notModerator':
      return text[outcome.kind];
    case 'missing':
      return `${say.admin.missing(outcome.what)}\n${text.usage}`;
    case 'unknown':
      return `${say.admin.unknown(outcome.text.slice(0, shownText))}\n${text.usage}`;
    case 'refused':
      return renderRefusal(outcome.reason, say);
  }
}

function renderSettings(rules: CommunityRules, { rules: text }: Messages, names: Names): string {
  const { labels } = text;
  const list = (kind: Named['kind'], keys: readonly string[]): string => {
    const shown = keys
      .slice(0, shownKeys)
      .map((key) => names({ kind, key }, key.slice(key.indexOf(':') + 1)));
    return [...shown, ...(keys.length > shownKeys ? ['…'] : [])].join(', ');
  };
  return [
    `${labels.channels}: ${rules.channels.length === 0 ? text.everywhere : list('channel', rules.channels)}`,
    `${labels.roles}: ${rules.roles.length === 0 ? text.everybody : list('role', rules.roles)}`,
    `${labels.spoiler}: ${rules.isSpoiler ? text.on : text.off}`,
    `${labels.age}: ${rules.isAgeRestrictedOnly ? text.on : text.off}`,
    // Only where it was set: few platforms let people write as a channel.
    ...(rules.isAsChannelAllowed ? [`${labels.asChannel}: ${text.on}`] : []),
    `${labels.preset}: ${rules.maxPreset ?? text.any}`,
    `${labels.words}: ${rules.words.length}`,
  ].join('\n');
}
