/**
 * The Lua scripts in lua/: Redis runs each as one atomic step. common.lua is prepended to every one of them, and before it
 * the names of its keys: a script knows no other way to name one, and every name comes from keys.ts.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Keys } from './keys.ts';
import type { Redis } from './redis.ts';

/** Keys of which there is one. */
type SoleKey = { [K in keyof Keys]: Keys[K] extends string ? K : never }[keyof Keys];

/**
 * Kinds of keys whose names a script can only learn inside, from the members of a set: so many of them, or so fresh, that
 * no caller can name them before. It gets what their names begin with, as its first arguments. They share the hash tag of
 * all keys, so a Redis Cluster finds them where the declared ones are.
 */
type Stem = 'job' | 'waiting';

interface Declared<Sole extends SoleKey, Own extends string> {
  readonly sole: readonly Sole[];
  /** Names, in the script, of those that the caller chooses: the key of one job, for example. */
  readonly own: readonly Own[];
  readonly stems?: readonly Stem[];
}

interface Script<Own extends string> extends Declared<SoleKey, Own> {
  readonly lua: string;
  readonly sha1: string;
}

const read = (name: string): string => readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8');
const common = read('common');

function script<Sole extends SoleKey, Own extends string = never>(
  name: string,
  declared: Declared<Sole, Own>,
): Script<Own> {
  const names = [...declared.sole, ...declared.own];
  const table = names.map((each, index) => `${each} = KEYS[${index + 1}]`).join(', ');
  const lua = `local named, keys = ${names.length}, { ${table} }\n${common}\n${read(name)}`;
  return { ...declared, lua, sha1: createHash('sha1').update(lua).digest('hex') };
}

/** What ends a job, or gives its credits back, touches besides the job. */
const placesOfJob = ['job', 'waiting', 'activeAll', 'activeUser', 'activeCommunity', 'used'] as const;

const scripts = {
  adopt: script('adopt', { sole: [], own: [] }),
  admin: script('admin', { sole: ['audit'], own: ['asked', 'changed'] }),
  admit: script('admit', {
    sole: [
      ...(['asleep', 'bans', 'grants', 'limits', 'mode', 'moved', 'pending', 'presets'] as const),
      ...(['sequence', 'vfinish', 'vtime', 'weights'] as const),
    ],
    own: [...placesOfJob, 'cooldown', 'history', 'withdrawn'],
  }),
  awake: script('awake', { sole: ['asleep', 'reconciled'], own: [] }),
  beat: script('beat', { sole: ['workers'], own: [] }),
  cancel: script('cancel', { sole: ['audit', 'grants', 'vfinish'], own: placesOfJob }),
  favourite: script('favourite', { sole: [], own: ['job'] }),
  forget: script('forget', {
    sole: ['forgetting', 'grants', 'rewrites', 'vfinish'],
    own: ['cooldown', 'history'],
  }),
  lead: script('lead', { sole: ['bots', 'leader'], own: [] }),
  move: script('move', {
    sole: ['bans', 'grants', 'limits', 'moved', 'weights'],
    own: ['oldRules', 'newRules'],
  }),
  rebase: script('rebase', {
    sole: ['presets', 'vfinish', 'vtime'],
    own: ['activeAll'],
    stems: ['job', 'waiting'],
  }),
  repair: script('repair', { sole: [], own: ['set'], stems: ['job'] }),
  settle: script('settle', { sole: ['endings', 'grants', 'pending'], own: ['job', 'used'] }),
  shards: script('shards', { sole: ['bots', 'shards'], own: [] }),
  transition: script('transition', {
    sole: ['failures', 'grants', 'turns', 'vfinish', 'vtime'],
    own: placesOfJob,
  }),
  turn: script('turn', { sole: ['presets', 'turns'], own: [], stems: ['job', 'waiting'] }),
  uncache: script('uncache', { sole: ['uncached', 'uncachedCount'], own: [] }),
  withdraw: script('withdraw', {
    sole: ['grants', 'pending', 'vfinish'],
    own: [...placesOfJob, 'withdrawn'],
  }),
};
export type ScriptName = keyof typeof scripts;

/** The keys that a caller of the script has to name. */
export type OwnKeys<N extends ScriptName> = Readonly<Record<(typeof scripts)[N]['own'][number], string>>;

/** Scripts that a connection has sent before: later calls send the hash. */
const sent = new WeakMap<Redis, Set<ScriptName>>();

/**
 * Runs a script. The first call on a connection sends its text, so that it costs no round trip of its own to load it.
 * @param own keys that only the caller can name, under their names in the script
 * @param args a script's own header documents them
 * @param more further keys, for a script that takes any number
 * @returns the script's reply, to be parsed by the caller
 */
export async function runScript<N extends ScriptName>(
  redis: Redis,
  name: N,
  keys: Keys,
  own: OwnKeys<N>,
  args: readonly (string | number)[],
  more: readonly string[] = [],
): Promise<unknown> {
  const { lua, sha1, sole, own: ownNames, stems = [] } = scripts[name] as Script<keyof OwnKeys<N>>;
  const declared = [...sole.map((each) => keys[each]), ...ownNames.map((each) => own[each]), ...more];
  const call = [declared.length, ...declared, ...stems.map((stem) => keys[stem]('')), ...args] as const;
  const known = sent.get(redis) ?? new Set();
  sent.set(redis, known);
  if (known.has(name)) {
    try {
      return await redis.evalsha(sha1, ...call);
    } catch (error) {
      // A script that Redis does not know, after a restart for example, has not run.
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    }
  }
  const reply = await redis.eval(lua, ...call);
  known.add(name);
  return reply;
}
