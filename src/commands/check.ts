/** One line of `kinora doctor`. */
export interface Check {
  readonly name: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  /** What to do; absent when all is well. */
  readonly remedy?: string;
}
