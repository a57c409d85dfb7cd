/** A file that lies elsewhere than on this machine, passed on whole or in one range. */
import path from 'node:path';
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import type { Artifacts } from '../../queue/artifacts.ts';
import { fileNames, type JobFile } from '../../queue/job-files.ts';
import type { ByteRange } from '../../storage/storage.ts';
import { ProblemError } from '../problem.ts';

const types: Readonly<Record<string, string>> = { '.mp4': 'video/mp4', '.jpg': 'image/jpeg' };

export const contentType = (name: string): string => types[path.extname(name)] ?? 'application/octet-stream';

export async function sendStored(
  reply: FastifyReply,
  artifacts: Artifacts,
  jobId: string,
  file: JobFile,
): Promise<FastifyReply> {
  const { headers, method } = reply.request;
  const found = await artifacts.head(jobId, file);
  if (!found) throw new ProblemError({ kind: 'expired' });
  const { bytes, modifiedMs } = found;
  const tag = `"${bytes.toString(16)}-${Math.round(modifiedMs).toString(16)}"`;
  reply
    .header('accept-ranges', 'bytes')
    .header('etag', `W/${tag}`)
    .header('last-modified', new Date(modifiedMs).toUTCString())
    .type(contentType(fileNames[file]));
  if (headers['if-none-match']?.includes(tag)) return reply.code(304).send();
  const isSame = headers['if-range'] === undefined || headers['if-range'].includes(tag);
  const range = isSame ? readRange(headers.range, bytes) : undefined;
  if (range === 'unsatisfiable') {
    reply.header('content-range', `bytes */${bytes}`);
    throw new ProblemError({ kind: 'range' });
  }
  if (range) reply.code(206).header('content-range', `bytes ${range.start}-${range.end}/${bytes}`);
  reply.header('content-length', range ? range.end - range.start + 1 : bytes);
  if (method === 'HEAD') return reply.send(Readable.from([])); // keeps the length
  const stream = await artifacts.stream(jobId, file, range);
  if (!stream) throw new ProblemError({ kind: 'expired' });
  return reply.send(stream);
}

/** Several ranges, and what is none, count as none: the whole file answers them as well. */
function readRange(header: string | undefined, bytes: number): ByteRange | 'unsatisfiable' | undefined {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? [];
  if (from === '' && to === '') return undefined;
  const start = from === '' ? Math.max(0, bytes - Number(to)) : Number(from);
  const end = from === '' || to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1);
  return start <= end ? { start, end } : 'unsatisfiable';
}
