/**
 * The rules that moderators have set for their community: channels, roles, covers, presets, blocked words. Read from
 * Redis at most every few seconds; without an answer from Redis a request is refused. Knows no platform.
 */
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { withDeadline } from '../../deadline.ts';
import type { RuleStore } from '../../queue/community-rules.ts';
import { type Preset, type PresetName, presetNames } from '../../request/presets.ts';
import type { Generation } from '../../request/request.ts';
import { readSize } from '../../request/sizes.ts';
import { BlockedWords } from './blocked-words.ts';

export interface CommunityRules {
  /** Keys of the allowed channels; empty allows all. */
  readonly channels: readonly string[];
  /** Keys of roles of which a person needs one; empty allows everybody. */
  readonly roles: readonly string[];
  readonly isSpoiler: boolean;
  readonly isAgeRestrictedOnly: boolean;
  /** Takes requests in the name of a channel. */
  readonly isAsChannelAllowed: boolean;
  /** Requests with more work than this preset are refused. */
  readonly maxPreset?: PresetName;
  /** As readBlockedWords() returns them. */
  readonly words: readonly string[];
}

/** The most channels, and the most roles, that can be allowed. */
export const mostNamed = 50;

/** Other processes follow a change after this time at the latest. */
const defaultKeptMs = 5_000;
const keptCommunities = 1_000;
/** Short, because JobClient.submit() has a deadline of its own after it, and the person waits for both. */
const answerWithinMs = 1_000;

/** Fields of the hash. Each channel, role and word has its own, so that moderators do not overwrite each other. */
export const ruleFields = {
  spoiler: 'spoiler',
  age: 'age',
  aschannel: 'aschannel',
  preset: 'preset',
  channel: (key: string): string => `channel:${key}`,
  role: (key: string): string => `role:${key}`,
  word: (entry: string): string => `word:${entry}`,
} as const;
export const on = 'on';

/** Strict: an unknown rule, of a newer version perhaps, must not be ignored. */
const singleSchema = z.strictObject({
  spoiler: z.literal(on).optional(),
  age: z.literal(on).optional(),
  aschannel: z.literal(on).optional(),
  preset: z.enum(presetNames).optional(),
});

/** @throws Error when the fields are not what ruleFields describes */
function parseRules(fields: Readonly<Record<string, string>>): CommunityRules {
  const lists: Record<'channel' | 'role' | 'word', string[]> = { channel: [], role: [], word: [] };
  const single: Record<string, string> = {};
  for (const [field, value] of Object.entries(fields)) {
    const [, kind, name] = /^(channel|role|word):(.+)$/su.exec(field) ?? [];
    if ((kind === 'channel' || kind === 'role' || kind === 'word') && name !== undefined)
      lists[kind].push(name);
    else single[field] = value;
  }
  const { spoiler, age, aschannel, preset } = singleSchema.parse(single);
  return {
    channels: lists.channel.sort(),
    roles: lists.role.sort(),
    words: lists.word.sort(),
    isSpoiler: spoiler === on,
    isAgeRestrictedOnly: age === on,
    isAsChannelAllowed: aschannel === on,
    ...(preset === undefined ? {} : { maxPreset: preset }),
  };
}

/** Rules with their words compiled. */
export interface ReadyRules extends CommunityRules {
  readonly blocked: BlockedWords;
}

export class RuleBook {
  readonly #store: Pick<RuleStore, 'rulesOf' | 'setRule'>;
  readonly #kept: LRUCache<string, Promise<Readonly<Record<string, string>>>>;
  /** Compiled again only after a change. */
  readonly #ready = new LRUCache<string, { readonly source: string; readonly rules: ReadyRules }>({
    max: keptCommunities,
  });

  constructor(store: Pick<RuleStore, 'rulesOf' | 'setRule'>, keptMs = defaultKeptMs) {
    this.#store = store;
    this.#kept = new LRUCache({ max: keptCommunities, ttl: keptMs });
  }

  /**
   * The rules of a community, at most five seconds old.
   * @returns 'unavailable' when Redis does not answer within a second
   * @throws Error when the stored rules are not understood
   */
  async of(community: string): Promise<ReadyRules | 'unavailable'> {
    let asked = this.#kept.get(community);
    if (!asked) {
      const asking = this.#store.rulesOf(community);
      asked = asking;
      this.#kept.set(community, asking);
      asking.catch(() => {
        if (this.#kept.peek(community) === asking) this.#kept.delete(community);
      });
    }
    const fields = await withDeadline(answerWithinMs, asked, () => undefined).catch(() => undefined);
    if (!fields) return 'unavailable';
    const source = JSON.stringify(Object.entries(fields).sort());
    const known = this.#ready.get(community);
    if (known?.source === source) return known.rules;
    const rules = parseRules(fields);
    const ready = { ...rules, blocked: new BlockedWords(rules.words) };
    this.#ready.set(community, { source, rules: ready });
    return ready;
  }

  /** The rules as they are in Redis now, to change them. */
  async read(community: string): Promise<CommunityRules> {
    return parseRules(await this.#store.rulesOf(community));
  }

  /** @returns whether this changed anything */
  async set(by: string, community: string, field: string, value: string | undefined): Promise<boolean> {
    try {
      return await this.#store.setRule(by, community, field, value);
    } finally {
      this.#kept.delete(community);
    }
  }

  /** The rules may have changed in another way. */
  forget(community: string): void {
    this.#kept.delete(community);
  }
}

/** The parts of a request that rules look at. */
export interface RuledRequest {
  readonly roleKeys: readonly string[];
  readonly isChannel: boolean;
  readonly channelKey: string | undefined;
  readonly isAgeRestricted: boolean | undefined;
  readonly generation: Generation;
  /** With the workers' model pack. */
  readonly presets: Readonly<Record<PresetName, Preset>>;
}

/** The rule that refuses a request, with what is allowed. */
export type BrokenRule =
  | { readonly kind: 'asChannel' | 'age' | 'channel' | 'role' }
  | { readonly kind: 'preset'; readonly allowed: readonly PresetName[] }
  | { readonly kind: 'frames' | 'steps' | 'size'; readonly most: number }
  /** `hint`: how the blocked word begins; empty for a pattern. */
  | { readonly kind: 'word'; readonly hint: string };

/** The first rule that a request breaks. An unknown channel or an unknown age restriction counts as not allowed. */
export function brokenRule(rules: ReadyRules, request: RuledRequest): BrokenRule | undefined {
  const { channelKey, roleKeys, generation } = request;
  if (request.isChannel && !rules.isAsChannelAllowed) return { kind: 'asChannel' };
  if (rules.isAgeRestrictedOnly && request.isAgeRestricted !== true) return { kind: 'age' };
  if (rules.channels.length > 0 && !(channelKey && rules.channels.includes(channelKey)))
    return { kind: 'channel' };
  if (rules.roles.length > 0 && !roleKeys.some((role) => rules.roles.includes(role))) return { kind: 'role' };
  const tooLarge = rules.maxPreset && beyond(rules.maxPreset, request);
  if (tooLarge) return tooLarge;
  // The negative prompt is shown, too, and a model may read it either way.
  for (const text of [generation.prompt, generation.negativePrompt ?? '']) {
    const found = rules.blocked.find(text);
    if (found !== undefined) return { kind: 'word', hint: hint(found) };
  }
  return undefined;
}

/** Enough to recognise one's own word, too little for Kinora to repeat it. */
function hint(entry: string): string {
  return entry === '' || entry.startsWith('/') ? '' : `${[...entry][0] ?? ''}…`;
}

/** Options must not get around the preset: its numbers are the limits of each option, too. */
function beyond(max: PresetName, { generation, presets }: RuledRequest): BrokenRule | undefined {
  const most = presets[max];
  const allowed = presetNames.filter((name) => workOf(presets[name]) <= workOf(most));
  if (!allowed.some((name) => name === generation.preset)) return { kind: 'preset', allowed };
  const { numFrames = 0, numInferenceSteps = 0, size } = generation;
  if (numFrames > most.numFrames) return { kind: 'frames', most: most.numFrames };
  if (numInferenceSteps > most.numInferenceSteps) return { kind: 'steps', most: most.numInferenceSteps };
  const asked = size === undefined ? { width: 0, height: 0 } : readSize(size);
  const isSmallEnough = asked && asked.width * asked.height <= most.size ** 2;
  return isSmallEnough ? undefined : { kind: 'size', most: most.size };
}

/** Pixels of all steps: compares how much there is to compute. */
function workOf({ size, numFrames, numInferenceSteps }: Preset): number {
  return size * size * numFrames * numInferenceSteps;
}
