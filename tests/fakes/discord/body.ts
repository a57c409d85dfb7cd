/** Reads the bodies of requests: JSON, or multipart with payload_json and files[n]. */
import type { IncomingMessage } from 'node:http';
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
      files.set(n, { name: part.filename, bytes: part.bytes, ...(part.type && { contentType: part.type }) });
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

/** RFC 7578, as far as clients of Discord use it. */
function* multipart(body: Buffer, boundary: string) {
  const delimiter = `\r\n--${boundary}`;
  const whole = Buffer.concat([Buffer.from('\r\n'), body]);
  let start = whole.indexOf(delimiter);
  while (start >= 0) {
    const end = whole.indexOf(delimiter, start + delimiter.length);
    if (end < 0) return;
    const part = whole.subarray(start + delimiter.length + 2, end);
    const headEnd = part.indexOf('\r\n\r\n');
    const head = part.subarray(0, headEnd).toString();
    yield {
      name: /[; ]name="([^"]*)"/.exec(head)?.[1] ?? '',
      filename: /filename="([^"]*)"/.exec(head)?.[1] ?? 'unnamed',
      type: /content-type: *([^\r\n]+)/i.exec(head)?.[1],
      bytes: new Uint8Array(part.subarray(headEnd + 4)),
    };
    start = end;
  }
}
