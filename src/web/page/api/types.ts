/**
 * The shapes of the API, from the schemas that the server checks and answers with. The only file of the page that looks
 * at the server's code, and for types alone: nothing of it reaches a browser.
 */
import type { ErrorBody } from '../../problem.ts';
import type { Lineage, Video, VideoList } from '../../videos/schemas.ts';

/** What a request for a video chooses, by the names of the API. */
export type { CreateBody } from '../../videos/schemas.ts';
export type { ErrorBody, Lineage, Video, VideoList };

/** Who is signed in. */
export interface Me {
  readonly user: string;
  readonly credits: { readonly per_day: number; readonly used: number; readonly granted: number };
  readonly scopes?: readonly string[];
}
