/** What one child has done since it was forked. Decides nothing: settings.ts does. */
export class ChildRecord {
  #jobs = 0;
  #rssAfterFirstJob = 0;
  /** Those whose first job is done. */
  readonly #models = new Set<string>();

  /** Jobs that were answered, with a result or an error. */
  get jobs(): number {
    return this.#jobs;
  }

  /** @param rssBytes of the child after the job */
  note(model: string, rssBytes: number): void {
    this.#jobs += 1;
    // The weights of another model are no growth.
    if (!this.#models.has(model)) this.#rssAfterFirstJob = Math.max(this.#rssAfterFirstJob, rssBytes);
    this.#models.add(model);
  }

  /** Bytes by which the child has grown since its first jobs. */
  growth(rssBytes: number): number {
    return rssBytes - this.#rssAfterFirstJob;
  }
}
