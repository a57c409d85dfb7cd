/**
 * Names of everything that Kinora keeps in Redis outside BullMQ's own keys, in one place: scripts.ts hands the Lua scripts
 * the names that they need.
 *
 * All begin with one hash tag, so that they lie in one slot of a Redis Cluster, and a script or a transaction may touch
 * any of them: docs/decisions/0014-one-hash-tag.md.
 */
export class Keys {
  readonly prefix: string;
  readonly #name: string;

  /** @param name keeps several installations (and tests) apart on one Redis. */
  constructor(name = 'kinora', isTagged = true) {
    this.#name = name;
    this.prefix = isTagged ? `{${name}}` : name;
  }

  /** Names of the same installation by versions that knew no hash tag; see adopt.ts. */
  get untagged(): Keys {
    return new Keys(this.#name, false);
  }
  /** Prefix of the BullMQ queues. */
  get bull(): string {
    return `${this.prefix}:bull`;
  }
  /** Hash: the ledger entry of one job. */
  job(jobId: string): string {
    return `${this.prefix}:job:${jobId}`;
  }
  /** Sorted set of job ids by creation time: accepted and without a delivered answer. */
  get pending(): string {
    return `${this.prefix}:pending`;
  }
  /** Set of job ids per user or community, or 'all': accepted and not yet generated, failed or cancelled. */
  active(ownerKey: string): string {
    return `${this.prefix}:active:${ownerKey}`;
  }
  /** Sorted set of waiting job ids of one kind, in serving order; see models.ts for the names of kinds. */
  waiting(kind: string): string {
    return `${this.prefix}:waiting:${kind}`;
  }
  /**
   * String: virtual time of the fair queue, the virtual start of the latest job that was started. Deleted when the queue
   * is idle.
   */
  get vtime(): string {
    return `${this.prefix}:vtime`;
  }
  /** Hash userKey → virtual finish of the user's last job, where their next one starts. Deleted with vtime. */
  get vfinish(): string {
    return `${this.prefix}:vfinish`;
  }
  /** String: counts admitted jobs; orders jobs with the same virtual start. */
  get sequence(): string {
    return `${this.prefix}:sequence`;
  }
  /** String that exists until the user may ask again. */
  cooldown(userKey: string): string {
    return `${this.prefix}:cooldown:${userKey}`;
  }
  /** String that exists for an hour after a request was withdrawn, so that it is refused if it arrives late. */
  withdrawn(callId: string): string {
    return `${this.prefix}:withdrawn:${callId}`;
  }
  /**
   * String: the JSON answer to one act of an admin, kept for an hour: the same act, sent again after a broken connection,
   * gets the same answer and changes nothing.
   */
  asked(callId: string): string {
    return `${this.prefix}:asked:${callId}`;
  }
  /** String: when a bot last looked after the jobs. */
  get reconciled(): string {
    return `${this.prefix}:reconciled`;
  }
  /** String: ms in which no bot looked after the jobs, in all. */
  get asleep(): string {
    return `${this.prefix}:asleep`;
  }
  /** Set of kinds that ever had a waiting job. */
  get presets(): string {
    return `${this.prefix}:presets`;
  }
  /** Hash of workers that were given a turn and have started no job since: until when it counts, and the model. */
  get turns(): string {
    return `${this.prefix}:turns`;
  }
  /** Sorted set of a user's job ids by creation time. */
  history(userKey: string): string {
    return `${this.prefix}:history:${userKey}`;
  }
  /** Hash userKey → credits used on one calendar day. */
  used(day: string): string {
    return `${this.prefix}:used:${day}`;
  }
  /** Hash userKey → extra credits that do not expire with the day. */
  get grants(): string {
    return `${this.prefix}:grants`;
  }
  /** Hash "user:<key>" | "role:<key>" | "community:<key>" → credits per day. */
  get limits(): string {
    return `${this.prefix}:limits`;
  }
  /** Hash like limits → share of the workers' time relative to others; without an entry it is 1. */
  get weights(): string {
    return `${this.prefix}:weights`;
  }
  /** Hash userKey or communityKey → JSON {untilMs, reason, kind}; untilMs 0 means permanent. */
  get bans(): string {
    return `${this.prefix}:bans`;
  }
  /** Hash: the rules that the moderators of one community have set. */
  rules(communityKey: string): string {
    return `${this.prefix}:rules:${communityKey}`;
  }
  /** Hash: key of a community, or of those who write as it → the key under which it goes on. */
  get moved(): string {
    return `${this.prefix}:moved`;
  }
  /** String: running (or absent), paused, draining. */
  get mode(): string {
    return `${this.prefix}:mode`;
  }
  /** Stream: the audit trail, what admins and moderators changed. At most 10,000 entries. */
  get audit(): string {
    return `${this.prefix}:audit`;
  }
  /** Stream: the latest lines that all processes logged. */
  get log(): string {
    return `${this.prefix}:log`;
  }
  /** Hash error code → jobs that ever failed with it. */
  get failures(): string {
    return `${this.prefix}:failures`;
  }
  /** Sorted set of userKeys by the time of their request to be forgotten, until that is done. */
  get forgetting(): string {
    return `${this.prefix}:forgetting`;
  }
  /** Stream: names of cache entries that every machine has to remove; see uncached.ts. */
  get uncached(): string {
    return `${this.prefix}:uncached`;
  }
  /** String: how many entries that stream ever had. */
  get uncachedCount(): string {
    return `${this.prefix}:uncachedcount`;
  }
  /** Hash webhook id → JSON {userKey, url, createdAt, isDisabled}. */
  get webhooks(): string {
    return `${this.prefix}:webhooks`;
  }
  /** String: JSON {jobId, bodyHash, isAccepted} of a request that a client of the API may repeat; kept for a day. */
  idempotency(keyId: string, hash: string): string {
    return `${this.prefix}:idempotency:${keyId}:${hash}`;
  }
  /** Hash key id → JSON {name, userKey, scopes, hash, createdAt} of a key of the HTTP API. */
  get apiKeys(): string {
    return `${this.prefix}:apikeys`;
  }
  /** String: JSON {userKey, scopes, createdAt, expiresAt, browser} of who is signed in on the page; until it expires. */
  session(hash: string): string {
    return `${this.prefix}:session:${hash}`;
  }
  /** Sorted set of the hashes of a user's sessions by the time they end. */
  sessions(userKey: string): string {
    return `${this.prefix}:sessions:${userKey}`;
  }
  /** String: JSON {userKey, name, locale, scopes, createdAt, expiresAt} of a link that signs in, until it is used. */
  signIn(hash: string): string {
    return `${this.prefix}:signin:${hash}`;
  }
  /** String: hash of the latest link for a user who is known. */
  signInOf(userKey: string): string {
    return `${this.prefix}:signin-of:${userKey}`;
  }
  /** Sorted set of the hashes of invitations that nobody has used, by the time they end. */
  get invitations(): string {
    return `${this.prefix}:invitations`;
  }
  /** Hash userKey → JSON {name, locale} of those who signed in on the page. */
  get profiles(): string {
    return `${this.prefix}:profiles`;
  }
  /** Sorted set of the ids of a user's uploads that are not used, by the time they began. */
  uploads(userKey: string): string {
    return `${this.prefix}:uploads:${userKey}`;
  }
  /** Set of ids: each stands for someone who was forgotten and may still be in Redis's append-only file. */
  get rewrites(): string {
    return `${this.prefix}:rewrites`;
  }
  /** Hash "delivered" | "undeliverable" | "failed" | "cancelled" → jobs that ever ended so. */
  get endings(): string {
    return `${this.prefix}:endings`;
  }
  /** List of recent job durations in ms per kind and device. */
  durations(kind: string, device: string): string {
    return `${this.prefix}:durations:${kind}:${device}`;
  }
  /** List of the ms that a worker on a device latest took to load a model. */
  loads(model: string, device: string): string {
    return `${this.prefix}:loads:${model}:${device}`;
  }
  /** Set of devices that ever finished a job. */
  get devices(): string {
    return `${this.prefix}:devices`;
  }
  /** Hash `latest`, `begun`: the latest progress of one job, and whether its first step ever began. */
  progress(jobId: string): string {
    return `${this.prefix}:progress:${jobId}`;
  }
  /** Pub/sub channel of progress and cancellations. */
  get events(): string {
    return `${this.prefix}:events`;
  }
  /** String: the version of the data; see schema.ts. */
  get schema(): string {
    return `${this.prefix}:schema`;
  }
  /** Hash model → its description, by the worker that was started with it last; kept when no worker has it any more. */
  get models(): string {
    return `${this.prefix}:models`;
  }
  /** Hash model → what its clips cost relative to the default's; '' → the model that is the default of that. */
  get costFactors(): string {
    return `${this.prefix}:costfactors`;
  }
  /** Hash workerId → JSON heartbeat of a worker. */
  get workers(): string {
    return `${this.prefix}:workers`;
  }
  /** String: how a job of Discord is answered in place, encrypted; expires when Discord forgets it. */
  interaction(jobId: string): string {
    return `${this.prefix}:interaction:${jobId}`;
  }
  /** String: JSON of what was last registered with Discord, as hashes. */
  get discordCommands(): string {
    return `${this.prefix}:discord:commands`;
  }
  /** Hash update id → JSON of an update from Telegram that is not handled yet, with notes. */
  get updates(): string {
    return `${this.prefix}:updates`;
  }
  /** Sorted set: ids of the updates that were handled last, by when. */
  get updatesDone(): string {
    return `${this.prefix}:updates:done`;
  }
  /** String: hash of the key from which the secrets of webhooks are made. */
  get webhookKey(): string {
    return `${this.prefix}:webhookkey`;
  }
  /** String: which bot leads, and how often it has renewed that; see lease.ts. */
  get leader(): string {
    return `${this.prefix}:leader`;
  }
  /** Hash shard of Discord → which bot serves it, and how often it has renewed that; see shard-leases.ts. */
  get shards(): string {
    return `${this.prefix}:shards`;
  }
  /** String that exists until the next bot may log in with a shard of those that share a pace. */
  shardLogin(pace: number): string {
    return `${this.prefix}:shardlogin:${pace}`;
  }
  /** String that exists while a bot tells somebody in Discord that their request was accepted. */
  showing(jobId: string): string {
    return `${this.prefix}:showing:${jobId}`;
  }
  /** Hash botId → JSON heartbeat of a bot, whether it leads or stands by. */
  get bots(): string {
    return `${this.prefix}:bots`;
  }
}
