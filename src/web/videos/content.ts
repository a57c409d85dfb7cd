/** The files of a finished video: the MP4 and its thumbnail, whole or in ranges. */
import path from 'node:path';
import type { FastifyReply } from 'fastify';
import type { keptFiles } from '../../queue/artifacts.ts';
import type { JobClient } from '../../queue/client.ts';
import { fileNames } from '../../queue/job-files.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { ProblemError } from '../problem.ts';
import { contentType, sendStored } from './stored-content.ts';
import { standingOf, type VideoTools } from './video.ts';

/** While nobody can tell how long a video will take. */
const unknownMs = 5_000;

export async function sendContent(
  reply: FastifyReply,
  entry: LedgerEntry,
  variant: (typeof keptFiles)[number],
  { client, artifacts }: VideoTools,
): Promise<FastifyReply> {
  await assertCompleted(entry, client);
  const kept = (await artifacts.readRecord(entry.id)) ? await artifacts.kept(entry.id) : [];
  if (kept.length === 0) throw new ProblemError({ kind: 'expired' });
  if (!kept.includes(variant)) {
    throw new ProblemError({
      kind: variant === 'thumbnail' ? 'expired' : 'variantNotMade',
      param: 'variant',
    });
  }
  const name = nameOf(entry, variant) + path.extname(fileNames[variant]);
  const disposition = `inline; ${fileName(name)}`;
  // A browser may keep it, and asks each time whether it may still show it.
  reply.header('cache-control', 'private, no-cache').header('content-disposition', disposition);
  const inPlace = artifacts.inPlace(entry.id);
  if (inPlace) return reply.sendFile(fileNames[variant], inPlace.folder);
  // The page's policy names no other host, and a link is signed for GET alone.
  const { method, headers } = reply.request;
  const isClient = method === 'GET' && headers.authorization !== undefined;
  const type = contentType(fileNames[variant]);
  const link = isClient ? await artifacts.link(entry.id, variant, { disposition, type }) : undefined;
  if (link !== undefined) return reply.header('cache-control', 'private, no-store').redirect(link);
  return await sendStored(reply, artifacts, entry.id, variant);
}

/** Letters of a prompt in a name. In UTF-8 each takes up to four bytes, and most file systems take 255. */
const slugLetters = 48;

/** What a file says of itself: "camera-slowly-zooming-in-7-640x384". */
function nameOf({ request, artifact }: LedgerEntry, variant: (typeof keptFiles)[number]): string {
  const { prompt, seed } = request.generation;
  const words =
    prompt
      .normalize('NFC')
      .toLowerCase()
      .match(/[\p{L}\p{N}\p{M}]+/gu) ?? [];
  const slug = [...words.join('-')].slice(0, slugLetters).join('').replace(/-+$/, '');
  const size = artifact && `${artifact.width}x${artifact.height}`;
  const made = variant === 'smooth' || variant === 'loop' ? variant : undefined;
  return [slug || 'kinora', artifact?.seed ?? seed, size, made]
    .filter((part) => part !== undefined)
    .join('-');
}

/** The parameters of a Content-Disposition by RFC 6266, for a name of letters, digits, hyphens and points. */
function fileName(name: string): string {
  const plain = name
    .normalize('NFKD')
    .replace(/[^a-z0-9.-]/g, '')
    .replace(/-{2,}/g, '-')
    .replace(/^-/, 'kinora-');
  const parameters = `filename="${plain}"`;
  return plain === name ? parameters : `${parameters}; filename*=UTF-8''${encodeURIComponent(name)}`;
}

/** @throws ProblemError when a video is not made yet, or never will be */
export async function assertCompleted(entry: LedgerEntry, client: JobClient): Promise<void> {
  const { status, leftMs = unknownMs } = await standingOf(entry, client);
  if (status === 'failed') throw new ProblemError({ kind: 'hasFailed' });
  if (status !== 'completed') throw new ProblemError({ kind: 'notReady', retryAfterMs: leftMs });
}
