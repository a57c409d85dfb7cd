/** The videos that an address names, for whom they belong to; for anybody else there are none. */
import type { FastifyRequest } from 'fastify';
import { messagesFor } from '../../bot/sentences/catalogue.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { callerWith } from '../caller.ts';
import { ProblemError, refusalProblem } from '../problem.ts';
import type { CreateTools } from './create.ts';
import type { Video } from './schemas.ts';
import { standingOf, videoOf } from './video.ts';

export async function shownVideo(
  entry: LedgerEntry,
  request: FastifyRequest,
  tools: CreateTools,
): Promise<Video> {
  const say = messagesFor(callerWith(request, 'use').person.locale);
  return await videoOf(entry, await standingOf(entry, tools.client), tools, say);
}

/**
 * The video that the address names.
 * @throws ProblemError when it is not one of the caller's
 */
export async function openVideo(
  request: FastifyRequest<{ Params: { id: string } }>,
  tools: CreateTools,
): Promise<LedgerEntry> {
  return await namedVideo(request.params.id, request, tools);
}

/** The video that a body names; throws as openVideo() does. */
export async function namedVideo(
  id: string,
  request: FastifyRequest,
  { services }: CreateTools,
): Promise<LedgerEntry> {
  const { person } = callerWith(request, 'use');
  const opened = await services.buttons.open(id, person, 'remix');
  if (opened.kind === 'refused') {
    const isUnknown = opened.reason.kind === 'gone';
    throw isUnknown ? new ProblemError({ kind: 'videoNotFound' }) : refusalProblem(opened.reason);
  }
  if (opened.entry.isWithdrawn || opened.entry.isDiscarded) throw new ProblemError({ kind: 'videoNotFound' });
  return opened.entry;
}
