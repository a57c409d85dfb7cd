/** Reads the bodies of requests: JSON, forms, and multipart with files. */
import type { IncomingMessage } from 'node:http';
import { multipart } from '../multipart.ts';
import { badRequest, usualError } from './api-error.ts';
import { Params, type Upload } from './params.ts';

const maxUploadBytes = 50 * 1024 * 1024;
/** Beside the file there are other fields. */
const maxBodyBytes = maxUploadBytes + 256 * 1024;

/**
 * Reads to the end even what is too large, so that the client sees the answer and no broken pipe.
 * @returns undefined when it is too large
 */
export async function readBody(incoming: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    size += chunk.length;
    if (size <= maxBodyBytes) chunks.push(chunk);
  }
  return size <= maxBodyBytes ? Buffer.concat(chunks) : undefined;
}

/** @throws ApiError 400 for JSON that is none, 413 for a file over the limit */
export function parseBody(query: URLSearchParams, body: Buffer, contentType: string): Params {
  const values: Record<string, unknown> = Object.fromEntries(query);
  if (contentType.startsWith('multipart/form-data')) {
    const uploads: Upload[] = [];
    const boundary = /boundary="?([^";]+)"?/.exec(contentType)?.[1] ?? '';
    for (const { name, filename, bytes } of multipart(body, boundary)) {
      if (filename === undefined) values[name] = Buffer.from(bytes).toString();
      else uploads.push({ field: name, name: filename, bytes });
    }
    if (uploads.some(({ bytes }) => bytes.byteLength > maxUploadBytes)) throw usualError(413);
    return new Params(values, uploads);
  }
  if (contentType.startsWith('application/x-www-form-urlencoded'))
    return new Params({ ...values, ...Object.fromEntries(new URLSearchParams(body.toString())) });
  return new Params({ ...values, ...jsonObject(body.toString()) });
}

function jsonObject(text: string): object {
  if (text === '') return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Answered below, like every other body that is no object.
  }
  throw badRequest("can't parse request body as a JSON object");
}
