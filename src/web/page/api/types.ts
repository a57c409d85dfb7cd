/**
 * The shapes of the API, from the schemas that the server checks and answers with. The only file of the page that looks
 * at the server's code, and for types alone: nothing of it reaches a browser.
 */
import type { ListedBan } from '../../admin/bans.ts';
import type { LogLine } from '../../admin/log.ts';
import type { QueuedJob, QueueNow } from '../../admin/queue.ts';
import type { ListedQuota, ShownQuota } from '../../admin/quotas.ts';
import type { ShownRules } from '../../admin/rules.ts';
import type { AuditPage, ShownWorker } from '../../admin/watch.ts';
import type { OwnKeys } from '../../keys.ts';
import type { ErrorBody } from '../../problem.ts';
import type { ListedSession, Me, ShownLink } from '../../sign-in.ts';
import type { Studio } from '../../studio.ts';
import type { CreateBody, Lineage, Video, VideoList } from '../../videos/schemas.ts';
import type { ListedWebhook } from '../../webhooks/routes.ts';

/** CreateBody: what a request for a video chooses, by the names of the API. */
export type {
  AuditPage,
  CreateBody,
  ErrorBody,
  Lineage,
  ListedBan,
  ListedQuota,
  ListedSession,
  ListedWebhook,
  LogLine,
  Me,
  OwnKeys,
  QueuedJob,
  QueueNow,
  ShownLink,
  ShownQuota,
  ShownRules,
  ShownWorker,
  Studio,
  Video,
  VideoList,
};

/** A page of a list that is counted in pages. */
export interface Paged<T> {
  readonly data: readonly T[];
  readonly page: number;
  readonly pages: number;
}
