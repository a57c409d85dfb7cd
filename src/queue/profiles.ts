/** What people who signed in on the studio page are called, and which language they speak. */
import { z } from 'zod';
import { Keys } from './keys.ts';
import type { Redis } from './redis.ts';
import { readJson, readUnlessNewer, writeJson } from './stored-json.ts';

// Loose: as in webhooks.ts.
const profileSchema = z.looseObject({
  name: z.string(),
  /** As the chat tells it; absent for those who are in none. */
  locale: z.string().optional(),
});
export type Profile = z.infer<typeof profileSchema>;

export const nameLength = { min: 1, max: 64 } as const;

/** The name without spaces around it, or undefined when it is none. */
export function nameIn(text: string): string | undefined {
  const name = text.trim();
  const isName = name.length >= nameLength.min && name.length <= nameLength.max && !/\p{Cc}/u.test(name);
  return isName ? name : undefined;
}

export class Profiles {
  readonly #redis: Redis;
  readonly #key: string;

  constructor(redis: Redis, keys = new Keys()) {
    this.#redis = redis;
    this.#key = keys.profiles;
  }

  /** @throws NewerRecord */
  async read(userKey: string): Promise<Profile | undefined> {
    return readUnlessNewer((await this.#redis.hget(this.#key, userKey)) ?? '', profileSchema);
  }

  /** Of these users, by userKey; those without a profile are left out. */
  async namesOf(userKeys: readonly string[]): Promise<Map<string, string>> {
    const names = new Map<string, string>();
    const texts = userKeys.length === 0 ? [] : await this.#redis.hmget(this.#key, ...userKeys);
    for (const [index, userKey] of userKeys.entries()) {
      const name = readJson(texts[index] ?? '', profileSchema)?.name;
      if (name !== undefined) names.set(userKey, name);
    }
    return names;
  }

  /** By userKey. */
  async all(): Promise<Map<string, Profile>> {
    const profiles = new Map<string, Profile>();
    for (const [userKey, text] of Object.entries(await this.#redis.hgetall(this.#key))) {
      const profile = readJson(text, profileSchema);
      if (profile) profiles.set(userKey, profile);
    }
    return profiles;
  }

  /** @throws NewerRecord */
  async store(
    userKey: string,
    { name, locale }: { readonly name: string; readonly locale?: string },
  ): Promise<void> {
    const stored = await this.read(userKey);
    await this.#redis.hset(this.#key, userKey, writeJson({ ...stored, name, locale }));
  }

  async remove(userKey: string): Promise<void> {
    await this.#redis.hdel(this.#key, userKey);
  }
}
