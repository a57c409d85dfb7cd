/** `kinora keys`: who may call the HTTP API, and who may come to the studio page without a chat. */
import { calledAs } from '../called-as.ts';
import type { Config } from '../config.ts';
import { type ApiKeyScope, ApiKeys, apiKeyScopes } from '../queue/api-keys.ts';
import { Profiles } from '../queue/profiles.ts';
import { type Redis, redisTime } from '../queue/redis.ts';
import { Sessions } from '../queue/sessions.ts';
import { ownerKey, SignInLinks, signInAddress } from '../queue/sign-in-links.ts';
import { CommandError } from './command-error.ts';
import { pageAddress } from './page-address.ts';
import { withRunningRedis } from './process.ts';

export interface CreateKeyOptions {
  readonly user?: string;
  /** Scopes with commas between. */
  readonly scope: string;
}

/** Prints the key once: only its hash is kept. */
export async function createKey(config: Config, name: string, options: CreateKeyOptions): Promise<void> {
  const scopes = readScopes(options.scope);
  await withRunningRedis(config, async (redis) => {
    const { key, token } = await new ApiKeys(redis).create({ name, userKey: options.user, scopes });
    process.stderr.write(
      `Key ${key.id} "${key.name}" of ${key.userKey}, for ${key.scopes.join(' and ')}. It is shown once, here:\n`,
    );
    process.stdout.write(`${token}\n`);
  });
}

const readScopes = (text: string): ApiKeyScope[] => text.split(',').map(readScope);

function readScope(text: string): ApiKeyScope {
  const scope = apiKeyScopes.find((known) => known === text.trim());
  if (scope) return scope;
  throw new CommandError(
    `"${text.slice(0, 40)}" is no scope; expected ${apiKeyScopes.join(', ')}, or both with a comma between.`,
    'INVALID_OPTION',
  );
}

export interface InviteOptions extends CreateKeyOptions {
  readonly days?: number;
}

/** Prints a link that signs somebody in on the page, once. */
export async function invite(
  config: Config,
  name: string | undefined,
  { user: userKey, scope, days }: InviteOptions,
): Promise<void> {
  const scopes = readScopes(scope);
  const address = pageAddress(config);
  await withRunningRedis(config, async (redis) => {
    const { invitation, token } = await new SignInLinks(redis).invite({ name, userKey, scopes, days });
    const whom = [name && `"${name}"`, userKey ?? 'somebody new'].filter(Boolean).join(', ');
    const until = new Date(invitation.expiresAt).toISOString();
    process.stderr.write(
      `Invitation ${invitation.id} for ${whom}, for ${scopes.join(' and ')}, once, until ${until}. Whoever opens the link is that person. It is shown once, here:\n`,
    );
    process.stdout.write(`${signInAddress(address.origin, token)}\n`);
    if (address.isOfThisMachine) {
      process.stderr.write('It opens on this machine only: KINORA_PUBLIC_URL is not set.\n');
    }
  });
}

/** Keys, invitations that nobody has used yet, and the people who came by one. */
export async function listKeys(config: Config, json: boolean): Promise<void> {
  await withRunningRedis(config, async (redis) => {
    const keys = await new ApiKeys(redis).list();
    const invitations = await new SignInLinks(redis).invitations();
    const people = await invitedPeople(redis);
    if (json) {
      const shown = [...keys, ...invitations.map((one) => ({ kind: 'invitation', ...one })), ...people];
      process.stdout.write(`${JSON.stringify(shown, null, 2)}\n`);
      return;
    }
    const day = (ms: number): string => new Date(ms).toISOString();
    const lines = [
      ...keys.map(({ id, name, userKey, scopes, createdAt }) => [id, userKey, scopes, day(createdAt), name]),
      ...invitations.map(({ id, name = '', userKey = 'somebody new', scopes, expiresAt }) => {
        return [id, userKey, scopes, `invited until ${day(expiresAt)}`, name];
      }),
      ...people.map(({ userKey, name }) => [userKey, 'has signed in', name]),
    ].map((parts) => parts.join('  ').trimEnd());
    const none = `There are no keys; "${calledAs('keys', 'create NAME')}" makes one.`;
    process.stdout.write(`${lines.length === 0 ? none : lines.join('\n')}\n`);
  });
}

async function invitedPeople(redis: Redis): Promise<{ kind: 'person'; userKey: string; name: string }[]> {
  const profiles = [...(await new Profiles(redis).all())].sort(([a], [b]) => a.localeCompare(b, 'en'));
  return profiles
    .filter(([userKey]) => userKey.startsWith('web:') && userKey !== ownerKey)
    .map(([userKey, { name }]) => ({ kind: 'person', userKey, name }));
}

/** @param id of a key or an invitation, or a user, who is signed out everywhere and whose keys end */
export async function revokeKey(config: Config, id: string): Promise<void> {
  await withRunningRedis(config, async (redis) => {
    const links = new SignInLinks(redis);
    if (id.includes(':')) {
      const now = await redisTime(redis);
      await new ApiKeys(redis).revokeOf(id, now);
      await links.revokeOf(id, now);
      await new Sessions(redis).revokeOf(id, now);
      return;
    }
    if ((await new ApiKeys(redis).revoke(id)) || (await links.revoke(id))) return;
    throw new CommandError(
      `There is no key ${id.slice(0, 40)}, and no such invitation; "${calledAs('keys', 'list')}" names all.`,
      'INVALID_OPTION',
    );
  });
}
