/**
 * The files of the studio page, as they were built. All are read at the start, so no path of a request ever reaches the
 * disk; whoever builds the page anew starts Kinora again.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { messagesFor } from '../bot/sentences/catalogue.ts';
import { localeOf } from './caller.ts';
import type { WebServer } from './web-server.ts';

/** Addresses that the page itself turns into its screens. */
const screens = ['/', '/library', '/library/:id', '/machine', '/account', '/sign-in'];

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
};
/** Types that gain from it. */
const compressed = /^text\/|json|xml/;

const pageHeaders = {
  'content-security-policy':
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; script-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'permissions-policy':
    'camera=(self), clipboard-write=(self), fullscreen=(self), display-capture=(), geolocation=(), microphone=(), payment=(), serial=(), usb=()',
} as const;

interface PageFile {
  readonly type: string;
  readonly bytes: Buffer;
  /** Absent where it is not smaller. */
  readonly gzipped: Buffer | undefined;
  readonly etag: string;
  /** Its name changes with its content. */
  readonly isHashed: boolean;
}

/** Answers with the page, which says that there is no such address. */
export type SendNotFound = (request: FastifyRequest, reply: FastifyReply) => FastifyReply;

/**
 * @param folder that "npm run build:page" wrote; where there is none, a sentence says so
 * @returns undefined where there is no page
 */
export async function pageRoutes(app: WebServer, folder: string): Promise<SendNotFound | undefined> {
  const files = await readFiles(folder);
  const index = files.get('/index.html');
  const options = { config: { isPublic: true, isFile: true }, schema: { hide: true } } as const;
  for (const screen of screens) {
    app.get(screen, options, async (request, reply) =>
      index ? sendFile(request, reply, index) : sayNotBuilt(request, reply),
    );
  }
  for (const [name, file] of files) {
    app.get(name, options, async (request, reply) => sendFile(request, reply, file));
  }
  return index && ((request, reply) => sendBytes(request, reply.code(404), index));
}

function sayNotBuilt(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { pageNotBuilt } = messagesFor(localeOf(request)).api;
  return reply.code(503).type('text/plain; charset=utf-8').send(`${pageNotBuilt}\n`);
}

/** By their addresses. */
async function readFiles(folder: string): Promise<Map<string, PageFile>> {
  const files = new Map<string, PageFile>();
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const type = types[path.extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const file = path.join(entry.parentPath, entry.name);
    const name = `/${path.relative(folder, file).split(path.sep).join('/')}`;
    const bytes = await readFile(file);
    const gzipped = compressed.test(type) ? await promisify(gzip)(bytes, { level: 9 }) : bytes;
    files.set(name, {
      type,
      bytes,
      gzipped: gzipped.length < bytes.length ? gzipped : undefined,
      etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`,
      isHashed: name.startsWith('/assets/'),
    });
  }
  return files;
}

function sendFile(request: FastifyRequest, reply: FastifyReply, file: PageFile): FastifyReply {
  const { etag, isHashed } = file;
  reply.headers({
    ...pageHeaders,
    etag,
    'cache-control': isHashed ? 'public, max-age=31536000, immutable' : 'no-cache',
    vary: 'accept-encoding',
  });
  if (request.headers['if-none-match']?.includes(etag)) return reply.code(304).send();
  return sendBytes(request, reply, file);
}

function sendBytes(
  request: FastifyRequest,
  reply: FastifyReply,
  { type, bytes, gzipped }: PageFile,
): FastifyReply {
  reply.headers({ ...pageHeaders, vary: 'accept-encoding' }).type(type);
  const takesGzip = /\bgzip\b(?!;\s*q=0(\.0+)?\s*(,|$))/.test(
    String(request.headers['accept-encoding'] ?? ''),
  );
  if (!gzipped || !takesGzip) return reply.send(bytes);
  return reply.header('content-encoding', 'gzip').send(gzipped);
}
