/**
 * What the moderators of a community decided about Kinora there: where, who, how large, which words. Keeps it for a few
 * seconds, so that asking costs nothing, and says so when it cannot be known. Knows no platform.
 */
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { RuleStore } from '../../queue/community-rules.ts';
import { type Preset, type PresetName, presetNames } from '../../request/presets.ts';
import type { Generation } from '../../request/request.ts';
import { BlockedWords } from './blocked-words.ts';

export interface CommunityRules {
  /** Channel keys; none is everywhere. */
  readonly channels: readonly string[];
  /** Role keys of which one is needed; none is everybody. */
  readonly roles: readonly string[];
  readonly isSpoiler: boolean;
  readonly isAgeRestrictedOnly: boolean;
  /** What costs more than this one is refused. */
  readonly maxPreset?: PresetName;
  /** As readBlockedWords() writes them. */
  readonly words: readonly string[];
}

/** How many channels and roles can be named. */
export const mostNamed = 50;

/** How long a change may take to be felt by other processes. */
const defaultKeptMs = 5_000;
const keptCommunities = 1_000;
/** Together with the deadline of submitting, a person still hears something in time. */
const answerWithinMs = 1_000;

/** Fields of the hash. Those with a colon are one each, so that two moderators do not undo each other's work. */
export const ruleFields = {
  spoiler: 'spoiler',
  age: 'age',
  preset: 'preset',
  channel: (key: string): string => `channel:${key}`,
  role: (key: string): string => `role:${key}`,
  word: (entry: string): string => `word:${entry}`,
} as const;
export const on = 'on';

/** Strict: a rule that is not understood, by a newer Kinora perhaps, must not be passed over. */
const singleSchema = z.strictObject({
  spoiler: z.literal(on).optional(),
  age: z.literal(on).optional(),
  preset: z.enum(presetNames).optional(),
});

/** @throws Error when the fields are not what ruleFields describes */
export function parseRules(fields: Readonly<Record<string, string>>): CommunityRules {
  const lists: Record<'channel' | 'role' | 'word', string[]> = { channel: [], role: [], word: [] };
  const single: Record<string, string> = {};
  for (const [field, value] of Object.entries(fields)) {
    const [, kind, name] = /^(channel|role|word):(.+)$/su.exec(field) ?? [];
    if ((kind === 'channel' || kind === 'role' || kind === 'word') && name !== undefined)
      lists[kind].push(name);
    else single[field] = value;
  }
  const { spoiler, age, preset } = singleSchema.parse(single);
  return {
    channels: lists.channel.sort(),
    roles: lists.role.sort(),
    words: lists.word.sort(),
    isSpoiler: spoiler === on,
    isAgeRestrictedOnly: age === on,
    ...(preset === undefined ? {} : { maxPreset: preset }),
  };
}

/** Rules with their words ready to be looked for. */
export interface ReadyRules extends CommunityRules {
  readonly blocked: BlockedWords;
}

export class RuleBook {
  readonly #store: Pick<RuleStore, 'rulesOf' | 'setRule'>;
  readonly #kept: LRUCache<string, Promise<Readonly<Record<string, string>>>>;
  /** Compiled once as long as nothing changes. */
  readonly #ready = new LRUCache<string, { readonly source: string; readonly rules: ReadyRules }>({
    max: keptCommunities,
  });

  constructor(store: Pick<RuleStore, 'rulesOf' | 'setRule'>, keptMs = defaultKeptMs) {
    this.#store = store;
    this.#kept = new LRUCache({ max: keptCommunities, ttl: keptMs });
  }

  /**
   * The rules that hold in a community, at most five seconds old. 'unavailable' within a second when Redis does not
   * say: nobody knows then what is allowed.
   * @throws Error when what Redis says is not understood
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
    const fields = await within(answerWithinMs, asked).catch(() => undefined);
    if (!fields) return 'unavailable';
    const source = JSON.stringify(Object.entries(fields).sort());
    const known = this.#ready.get(community);
    if (known?.source === source) return known.rules;
    const rules = parseRules(fields);
    const ready = { ...rules, blocked: new BlockedWords(rules.words) };
    this.#ready.set(community, { source, rules: ready });
    return ready;
  }

  /** As they stand in Redis now, for whoever changes them. */
  async read(community: string): Promise<CommunityRules> {
    return parseRules(await this.#store.rulesOf(community));
  }

  /** @returns whether that changed anything */
  async set(by: string, community: string, field: string, value: string | undefined): Promise<boolean> {
    try {
      return await this.#store.setRule(by, community, field, value);
    } finally {
      this.#kept.delete(community);
    }
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What a request has to do with rules. */
export interface RuledRequest {
  readonly roleKeys: readonly string[];
  readonly channelKey: string | undefined;
  readonly isAgeRestricted: boolean | undefined;
  readonly generation: Generation;
  /** As the workers' pack runs them. */
  readonly presets: Readonly<Record<PresetName, Preset>>;
}

/** The rule that refuses a request, with what is allowed. */
export type BrokenRule =
  | { readonly kind: 'age' | 'channel' | 'role' }
  | { readonly kind: 'preset'; readonly allowed: readonly PresetName[] }
  | { readonly kind: 'frames' | 'steps' | 'size'; readonly most: number }
  /** `hint`: how the blocked word begins; empty for a pattern. */
  | { readonly kind: 'word'; readonly hint: string };

/** The first rule that a request breaks. What is not known counts as not allowed. */
export function brokenRule(rules: ReadyRules, request: RuledRequest): BrokenRule | undefined {
  const { channelKey, roleKeys, generation } = request;
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

/** Enough to know one's own word again, too little to make Kinora say it. */
function hint(entry: string): string {
  return entry === '' || entry.startsWith('/') ? '' : `${[...entry][0] ?? ''}…`;
}

/** Options must not get around the preset: its numbers are the limits of each option, too. */
function beyond(max: PresetName, { generation, presets }: RuledRequest): BrokenRule | undefined {
  const most = presets[max];
  const allowed = presetNames.filter((name) => workOf(presets[name]) <= workOf(most));
  if (!allowed.some((name) => name === generation.preset)) return { kind: 'preset', allowed };
  const { numFrames = 0, numInferenceSteps = 0, size = '0' } = generation;
  if (numFrames > most.numFrames) return { kind: 'frames', most: most.numFrames };
  if (numInferenceSteps > most.numInferenceSteps) return { kind: 'steps', most: most.numInferenceSteps };
  const [width = 0, height = width] = size.split('x').map(Number);
  // A size that is not understood is not allowed.
  if (!(width * height <= most.size ** 2)) return { kind: 'size', most: most.size };
  return undefined;
}

/** How much there is to compute, in any unit. */
function workOf({ size, numFrames, numInferenceSteps }: Preset): number {
  return size * size * numFrames * numInferenceSteps;
}
