/** Reads the bodies of requests: JSON, or multipart with payload_json and files[n]. */
import type { IncomingMessage } from 'node:http';
import { multipart } from '../multipart.ts';
import type { FakeFile } from './files.ts';

export async function readAll(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function parseBody(
  body: Buffer,
  contentType: string,
): { json: unknown; files: Map<string, FakeFile> } {
  if (!contentType.startsWith('multipart/form-data'))
    return { json: parseJson(body.toString()), files: new Map() };
  const boundary = /boundary="?([^";]+)"?/.exec(contentType)?.[1] ?? '';
  const files = new Map<string, FakeFile>();
  let json: unknown;
  for (const part of multipart(body, boundary)) {
    const n = /^files\[(\d+)\]$/.exec(part.name)?.[1];
    if (part.name === 'payload_json') json = parseJson(Buffer.from(part.bytes).toString());
    else if (n !== undefined)
      files.set(n, {
        name: part.filename ?? 'unnamed',
        bytes: part.bytes,
        ...(part.type && { contentType: part.type }),
      });
  }
  return { json, files };
}

function parseJson(text: string): unknown {
  try {
    return text ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}
