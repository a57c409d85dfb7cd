/** The files of a finished video: the MP4 and its thumbnail, whole or in ranges. */
import { access } from 'node:fs/promises';
import path from 'node:path';
import type { FastifyReply } from 'fastify';
import type { JobClient } from '../../queue/client.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { ProblemError } from '../problem.ts';
import { standingOf, type VideoTools } from './video.ts';

/** While nobody can tell how long a video will take. */
const unknownMs = 5_000;

export async function sendContent(
  reply: FastifyReply,
  entry: LedgerEntry,
  variant: 'video' | 'thumbnail',
  { client, artifacts }: VideoTools,
): Promise<FastifyReply> {
  await assertCompleted(entry, client);
  const file = artifacts.files(entry.id)[variant];
  const isThere =
    (await artifacts.readRecord(entry.id)) &&
    (await access(file).then(
      () => true,
      () => false,
    ));
  if (!isThere) throw new ProblemError({ kind: 'expired' });
  const name = `kinora-${entry.id}${path.extname(file)}`;
  reply.header('content-disposition', `inline; filename="${name}"`);
  return reply.sendFile(path.basename(file), path.dirname(file));
}

/** @throws ProblemError when a video is not made yet, or never will be */
export async function assertCompleted(entry: LedgerEntry, client: JobClient): Promise<void> {
  const { status, leftMs = unknownMs } = await standingOf(entry, client);
  if (status === 'failed') throw new ProblemError({ kind: 'hasFailed' });
  if (status !== 'completed') throw new ProblemError({ kind: 'notReady', retryAfterMs: leftMs });
}
