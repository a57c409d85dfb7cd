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
  cancel: script('cancel'),
  forget: script('forget'),
  rebase: script('rebase'),
  repair: script('repair'),
  settle: script('settle'),
  transition: script('transition'),
  withdraw: script('withdraw'),
};
export type ScriptName = keyof typeof scripts;

/**
 * Runs a script, by its hash where Redis has it already.
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
  try {
    return await redis.evalsha(sha1, 0, prefix, ...args);
  } catch (error) {
    // A script that Redis does not know has not run.
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    return await redis.eval(lua, 0, prefix, ...args);
  }
}
