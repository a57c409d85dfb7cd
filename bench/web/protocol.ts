/** What the bench of the API and its load tell each other. */
export interface LoadOptions {
  readonly url: string;
  /** Keys of the people who ask. */
  readonly tokens: readonly string[];
  readonly listeners: number;
  /** Videos that wait before the measurement. */
  readonly waiting: number;
  readonly pollsPerSecond: number;
  readonly requestsPerSecond: number;
}

/** All in ms, in the order of the answers. */
export interface LoadReport {
  readonly createMs: readonly number[];
  readonly pollMs: readonly number[];
  /** Events that the listeners heard. */
  readonly events: number;
  readonly problems: readonly string[];
}
