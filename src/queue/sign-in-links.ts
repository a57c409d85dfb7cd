/**
 * Links that sign somebody in on the studio page, each once. Whoever has the link is that person, so Redis holds only a
 * hash of its token and drops it when the link expires. One for somebody who is known ends the one before.
 */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { KinoraError } from '../errors.ts';
import { type ApiKeyScope, apiKeyScopes } from './api-keys.ts';
import { checkOwner, checkWhole } from './checks.ts';
import { Keys } from './keys.ts';
import { nameIn, nameLength } from './profiles.ts';
import { type Redis, redisTime } from './redis.ts';
import { hashOfToken, newToken } from './sessions.ts';
import { readJson, readUnlessNewer, writeJson } from './stored-json.ts';

/** Who keeps this machine: a user of their own, in no chat. */
export const ownerKey = 'web:owner';

export const linkMs = 5 * 60_000;
export const invitationDays = { min: 1, max: 30, usual: 7 } as const;

const storedSchema = z.object({
  /** Absent for somebody new, who is made when the link is used. */
  userKey: z.string().optional(),
  /** Absent where nobody knows it: it is asked for when the link is used. */
  name: z.string().optional(),
  locale: z.string().optional(),
  scopes: z.array(z.enum(apiKeyScopes)),
  createdAt: z.number(),
  expiresAt: z.number(),
});
export type SignInLink = z.infer<typeof storedSchema>;

export interface Invitation extends SignInLink {
  /** Not secret: the beginning of the hash. */
  readonly id: string;
}

/** The token stands behind the #: browsers keep it from servers, and previews of the link use nothing up. */
export const signInAddress = (origin: string, token: string): string => `${origin}/sign-in#${token}`;

const idLength = 12;
const userBytes = 6;
const newUser = (): string => `web:${randomBytes(userBytes).toString('hex')}`;

interface Wanted {
  readonly userKey?: string | undefined;
  readonly name?: string | undefined;
  readonly locale?: string | undefined;
  readonly scopes: readonly ApiKeyScope[];
}

export class SignInLinks {
  readonly #redis: Redis;
  readonly #keys: Keys;

  constructor(redis: Redis, keys = new Keys()) {
    this.#redis = redis;
    this.#keys = keys;
  }

  /**
   * A link of five minutes for somebody who asked for it.
   * @param time Redis's own where it is left out, here and below
   * @returns its token
   */
  async create(wanted: Wanted & { readonly userKey: string }, time?: number): Promise<string> {
    const now = time ?? (await redisTime(this.#redis));
    const { token } = await this.#store(
      { ...wanted, name: wanted.name?.slice(0, nameLength.max) },
      linkMs,
      now,
    );
    return token;
  }

  /**
   * A link of days, for somebody who is in no chat.
   * @returns its token, which is told once
   * @throws KinoraError INVALID_OPTION for a name, user or number of days out of range
   */
  async invite(
    wanted: Wanted & { readonly days?: number | undefined },
    time?: number,
  ): Promise<{ readonly invitation: Invitation; readonly token: string }> {
    const now = time ?? (await redisTime(this.#redis));
    const days = checkWhole('days', wanted.days ?? invitationDays.usual, invitationDays);
    const name = wanted.name === undefined ? undefined : nameIn(wanted.name);
    if (name === undefined && wanted.name !== undefined) {
      const { min, max } = nameLength;
      throw new KinoraError('INVALID_OPTION', `A name has ${min} to ${max} characters.`);
    }
    const { token, hash, link } = await this.#store({ ...wanted, name }, days * 86_400_000, now);
    await this.#redis
      .multi()
      .zremrangebyscore(this.#keys.invitations, '-inf', now)
      .zadd(this.#keys.invitations, link.expiresAt, hash)
      .exec();
    return { invitation: { id: hash.slice(0, idLength), ...link }, token };
  }

  /** What a link is for, while it can be used. @throws NewerRecord */
  async look(token: string): Promise<SignInLink | undefined> {
    const hash = hashOfToken(token);
    return hash === undefined ? undefined : await this.#read(hash, readUnlessNewer);
  }

  /** Uses a link up: of several calls at once, one gets it. @throws NewerRecord, and the link stays */
  async use(token: string): Promise<(SignInLink & { readonly userKey: string }) | undefined> {
    const hash = hashOfToken(token);
    if (hash === undefined) return undefined;
    await this.#read(hash, readUnlessNewer);
    const link = readJson((await this.#redis.getdel(this.#keys.signIn(hash))) ?? '', storedSchema);
    await this.#redis.zrem(this.#keys.invitations, hash);
    return link && { ...link, userKey: link.userKey ?? newUser() };
  }

  /** Those that nobody has used yet, oldest first. */
  async invitations(): Promise<Invitation[]> {
    const found: Invitation[] = [];
    for (const hash of await this.#redis.zrange(this.#keys.invitations, 0, '-1')) {
      const link = await this.#read(hash);
      if (link) found.push({ id: hash.slice(0, idLength), ...link });
    }
    return found.sort((a, b) => a.createdAt - b.createdAt);
  }

  /** @returns whether there was such an invitation */
  async revoke(id: string): Promise<boolean> {
    const hashes = await this.#redis.zrange(this.#keys.invitations, 0, '-1');
    const hash = hashes.find((one) => one.slice(0, idLength) === id);
    return hash !== undefined && (await this.#remove(hash));
  }

  /** Ends the links that a user had at a time. */
  async revokeOf(userKey: string, createdBefore: number): Promise<void> {
    const latest = await this.#redis.get(this.#keys.signInOf(userKey));
    const hash = latest ?? '';
    const link = await this.#read(hash);
    if (link && link.createdAt > createdBefore) return;
    await this.#remove(hash);
    await this.#redis.del(this.#keys.signInOf(userKey));
  }

  async #store(
    { userKey, name, locale, scopes }: Wanted,
    forMs: number,
    now: number,
  ): Promise<{ token: string; hash: string; link: SignInLink }> {
    const token = newToken();
    const hash = hashOfToken(token) ?? '';
    const link: SignInLink = {
      ...(userKey === undefined ? {} : { userKey: checkOwner(userKey) }),
      ...(name === undefined ? {} : { name }),
      ...(locale === undefined ? {} : { locale }),
      scopes: [...scopes],
      createdAt: now,
      expiresAt: now + forMs,
    };
    await this.#redis.set(this.#keys.signIn(hash), writeJson(link), 'PXAT', link.expiresAt);
    if (userKey !== undefined) {
      const before = await this.#redis.getset(this.#keys.signInOf(userKey), hash);
      await this.#redis.pexpireat(this.#keys.signInOf(userKey), link.expiresAt);
      if (before !== null) await this.#remove(before);
    }
    return { token, hash, link };
  }

  async #read(hash: string, read: typeof readJson = readJson): Promise<SignInLink | undefined> {
    return read((await this.#redis.get(this.#keys.signIn(hash))) ?? '', storedSchema);
  }

  async #remove(hash: string): Promise<boolean> {
    await this.#redis.zrem(this.#keys.invitations, hash);
    return (await this.#redis.del(this.#keys.signIn(hash))) === 1;
  }
}
