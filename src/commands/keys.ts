/** `kinora keys`: who may call the HTTP API. */
import type { Config } from '../config.ts';
import { type ApiKeyScope, ApiKeys, apiKeyScopes } from '../queue/api-keys.ts';
import { CommandError } from './command-error.ts';
import { withRunningRedis } from './process.ts';

export interface CreateKeyOptions {
  readonly user?: string;
  /** Scopes with commas between. */
  readonly scope: string;
}

/** Prints the key once: only its hash is kept. */
export async function createKey(config: Config, name: string, options: CreateKeyOptions): Promise<void> {
  const scopes = options.scope.split(',').map(readScope);
  await withRunningRedis(config, async (redis) => {
    const { key, token } = await new ApiKeys(redis).create({ name, userKey: options.user, scopes });
    process.stderr.write(
      `Key ${key.id} "${key.name}" of ${key.userKey}, for ${key.scopes.join(' and ')}. It is shown once, here:\n`,
    );
    process.stdout.write(`${token}\n`);
  });
}

function readScope(text: string): ApiKeyScope {
  const scope = apiKeyScopes.find((known) => known === text.trim());
  if (scope) return scope;
  throw new CommandError(
    `"${text.slice(0, 40)}" is no scope; expected ${apiKeyScopes.join(', ')}, or both with a comma between.`,
    'INVALID_OPTION',
  );
}

export async function listKeys(config: Config, json: boolean): Promise<void> {
  await withRunningRedis(config, async (redis) => {
    const keys = await new ApiKeys(redis).list();
    const lines = keys.map(({ id, name, userKey, scopes, createdAt }) =>
      [id, userKey, scopes.join(','), new Date(createdAt).toISOString(), name].join('  '),
    );
    const text =
      lines.length === 0
        ? 'There are no keys; "npm run kinora -- keys create NAME" makes one.'
        : lines.join('\n');
    process.stdout.write(`${json ? JSON.stringify(keys, null, 2) : text}\n`);
  });
}

export async function revokeKey(config: Config, id: string): Promise<void> {
  await withRunningRedis(config, async (redis) => {
    if (await new ApiKeys(redis).revoke(id)) return;
    throw new CommandError(
      `There is no key ${id.slice(0, 40)}; "npm run kinora -- keys list" names all.`,
      'INVALID_OPTION',
    );
  });
}
