/** Who writes to the bot, and where, as the adapters tell it. Knows no platform. */

export interface Person {
  /** "<platform>:<id>" */
  readonly userKey: string;
  /** As others see it, where the platform tells it. */
  readonly name?: string | undefined;
  /** "<platform>:<role id>", for allowances by role. */
  readonly roleKeys: readonly string[];
  /** As the platform gives it: "en-US", "zh-CN", "de". */
  readonly locale: string;
  /** By the configuration's user and role ids, never by the platform's own permissions. */
  readonly isAdmin: boolean;
  /** Writes in the name of a channel, so that nobody can tell who it is, nor whether that person is banned. */
  readonly isChannel?: true;
  /** Of the community they write in, by the platform's own permissions. Only commands that change rules ask for it. */
  readonly isModerator?: boolean;
}

export interface Place {
  /** Server or group; absent in private chats. */
  readonly communityKey?: string;
  /** Within the community: "<platform>:<id>". A thread has the key of its channel. */
  readonly channelKey?: string;
  /** Absent where the platform has no such channels. */
  readonly isAgeRestricted?: boolean;
  /** Absent where the platform has roles. */
  readonly hasRoles?: false;
  /** Largest file that can be posted there. */
  readonly maxBytes: number;
}
