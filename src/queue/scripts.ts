/** The Lua scripts in lua/: Redis runs each as one atomic step. common.lua is prepended to every one of them. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';

interface Script {
  readonly lua: string;
  readonly sha1: string;
}

const read = (name: string): string => readFileSync(new URL(`./lua/${name}.lua`, import.meta.url), 'utf8');
const common = read('common');

function script(name: string): Script {
  const lua = `${common}\n${read(name)}`;
  return { lua, sha1: createHash('sha1').update(lua).digest('hex') };
}

const scripts = {
  admin: script('admin'),
  admit: script('admit'),
  awake: script('awake'),
  beat: script('beat'),
  cancel: script('cancel'),
  favourite: script('favourite'),
  forget: script('forget'),
  move: script('move'),
  rebase: script('rebase'),
  repair: script('repair'),
  settle: script('settle'),
  transition: script('transition'),
  turn: script('turn'),
  withdraw: script('withdraw'),
};
export type ScriptName = keyof typeof scripts;

/** Scripts that a connection has sent before: later calls send the hash. */
const sent = new WeakMap<Redis, Set<ScriptName>>();

/**
 * Runs a script. The first call on a connection sends its text, so that it costs no round trip of its own to load it.
 * @param prefix of all keys; a script's own header documents the arguments behind it
 * @returns the script's reply, to be parsed by the caller
 */
export async function runScript(
  redis: Redis,
  name: ScriptName,
  prefix: string,
  ...args: readonly (string | number)[]
): Promise<unknown> {
  const { lua, sha1 } = scripts[name];
  const known = sent.get(redis) ?? new Set();
  sent.set(redis, known);
  if (known.has(name)) {
    try {
      return await redis.evalsha(sha1, 0, prefix, ...args);
    } catch (error) {
      // A script that Redis does not know, after a restart for example, has not run.
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    }
  }
  const reply = await redis.eval(lua, 0, prefix, ...args);
  known.add(name);
  return reply;
}
