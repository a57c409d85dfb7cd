/**
 * Names of everything that Kinora keeps in Redis outside BullMQ's own keys. The Lua scripts build the same names
 * from the same prefix; a change here is a change there.
 */
export class Keys {
  readonly prefix: string;

  /** @param prefix keeps several installations (and tests) apart on one Redis. */
  constructor(prefix = 'kinora') {
    this.prefix = prefix;
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
  /** Set of job ids per user or community: accepted and not yet generated, failed or cancelled. */
  active(ownerKey: string): string {
    return `${this.prefix}:active:${ownerKey}`;
  }
  /** Sorted set of waiting job ids of one preset, in serving order. */
  waiting(preset: string): string {
    return `${this.prefix}:waiting:${preset}`;
  }
  /** Set of presets that ever had a waiting job. */
  get presets(): string {
    return `${this.prefix}:presets`;
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
  /** Hash like limits → share of the GPU relative to others (1 is everybody's). */
  get weights(): string {
    return `${this.prefix}:weights`;
  }
  /** Hash userKey or communityKey → JSON {untilMs, reason}; untilMs 0 is for good. */
  get bans(): string {
    return `${this.prefix}:bans`;
  }
  /** Hash: what the moderators of one community decided about it. */
  rules(communityKey: string): string {
    return `${this.prefix}:rules:${communityKey}`;
  }
  /** String: running (or absent), paused, draining. */
  get mode(): string {
    return `${this.prefix}:mode`;
  }
  /** Stream: what admins did. */
  get audit(): string {
    return `${this.prefix}:audit`;
  }
  /** Hash error code → jobs that ever failed with it. */
  get failures(): string {
    return `${this.prefix}:failures`;
  }
  /** Sorted set of userKeys by the time of their wish to be forgotten, until it has come true. */
  get forgetting(): string {
    return `${this.prefix}:forgetting`;
  }
  /** Hash "delivered" | "undeliverable" | "failed" | "cancelled" → jobs that ever ended so. */
  get endings(): string {
    return `${this.prefix}:endings`;
  }
  /** List of recent job durations in ms per preset and device. */
  durations(preset: string, device: string): string {
    return `${this.prefix}:durations:${preset}:${device}`;
  }
  /** Set of devices that ever finished a job. */
  get devices(): string {
    return `${this.prefix}:devices`;
  }
  /** Pub/sub channel of progress and cancellations. */
  get events(): string {
    return `${this.prefix}:events`;
  }
  /** Hash workerId → JSON heartbeat of a worker. */
  get workers(): string {
    return `${this.prefix}:workers`;
  }
}
