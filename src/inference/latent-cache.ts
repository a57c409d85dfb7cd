/** What a job took from the latent cache. (The cache itself is written next.) */
export interface CacheUse {
  /** Entries that were found, by kind: "image", "prompt", "conditioning", "video". */
  readonly hits: readonly string[];
  readonly misses: readonly string[];
}
