/** How users, roles, communities and channels are shown in a sentence. */

/** What a key names. */
export interface Named {
  readonly kind: 'user' | 'role' | 'community' | 'channel';
  /** "<platform>:<id>" */
  readonly key: string;
}

/** @param written how the sentence shows it where the platform has nothing better */
export type Names = (named: Named, written: string) => string;

export const asWritten: Names = (_, written) => written;
