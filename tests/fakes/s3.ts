/**
 * A stand-in of an S3 service with one bucket: refuses what real ones refuse (signatures of version 4 are checked, also of
 * links), and fails in the ways that a test asks for. tests/storage/conformance.ts holds it to what real servers do.
 */
import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { S3Settings } from '../../src/storage/s3-client.ts';

interface StoredObject {
  readonly bytes: Buffer;
  readonly type: string;
  readonly modified: Date;
}

/** What happens instead to the next requests of a method whose path has a text in it. */
export interface Fault {
  readonly method: string;
  readonly path?: string;
  times: number;
  readonly kind:
    | 'cut in the middle of the upload'
    | 'cut in the middle of the download'
    | 'put, with its answer lost'
    | 'silent'
    | 'silent in the middle of the download'
    | 'slow download'
    | 'not found, says a proxy'
    | { readonly status: number; readonly code: string };
}

/** Fewer than those of real ones, so that few objects fill several. */
const pageSize = 100;
/** In a slow download: the pieces of a body, and the pause behind each. */
const slowPieces = 20;
const slowPauseMs = 100;
const mostSkewMs = 15 * 60_000;
const accessKeyId = 'AKIAFAKEFAKEFAKEFAKE';
const secretAccessKey = 'a+secret/that-nobody-may-ever-see-in-a-log';

class S3Error extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string) {
    super(code);
    this.status = status;
    this.code = code;
  }
}

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);

export class FakeS3 {
  readonly bucket = 'kinora-test';
  readonly objects = new Map<string, StoredObject>();
  readonly faults: Fault[] = [];
  /** Method and path of each request. */
  readonly seen: string[] = [];
  /** By how much its clock is ahead. */
  clockMs = 0;
  quotaBytes = Number.POSITIVE_INFINITY;
  #answering = 0;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#answering++;
      response.once('close', () => this.#answering--);
      this.#serve(request, response).catch((error: unknown) => {
        if (error instanceof S3Error) refuse(response, error);
        else response.destroy();
      });
    });
  }

  static async start(): Promise<FakeS3> {
    const fake = new FakeS3();
    await once(fake.#server.listen(0, '127.0.0.1'), 'listening');
    return fake;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  settings(workFolder: string, changes: Partial<S3Settings> = {}): S3Settings {
    const credentials = { accessKeyId, secretAccessKey };
    const { bucket, endpoint } = this;
    const where = { bucket, prefix: 'some/where', region: 'eu-central-1', endpoint };
    return { ...where, credentials, workFolder, ...changes };
  }

  /** Answers that are neither sent nor given up. */
  get answering(): number {
    return this.#answering;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #now(): number {
    return Date.now() + this.clockMs;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.endpoint);
    const { method = 'GET' } = request;
    this.seen.push(`${method} ${url.pathname}`);
    response.setHeader('date', new Date(this.#now()).toUTCString());
    const fault = this.faults.find(
      (one) => one.times > 0 && one.method === method && url.pathname.includes(one.path ?? ''),
    );
    if (fault) fault.times--;
    const kind = fault?.kind;
    if (kind === 'silent') return;
    if (kind === 'cut in the middle of the upload') {
      await Promise.race([once(request, 'data'), once(request, 'end')]);
      request.socket.destroy();
      return;
    }
    const body = await buffer(request);
    if (kind === 'not found, says a proxy') {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('404 page not found\n');
      return;
    }
    if (typeof kind === 'object') throw new S3Error(kind.status, kind.code);
    this.#check(request, url, body);
    const [, bucket, ...rest] = decodeURIComponent(url.pathname).split('/');
    if (bucket !== this.bucket) throw new S3Error(404, 'NoSuchBucket');
    const key = rest.join('/');
    if (method === 'GET' && key === '') return this.#list(url.searchParams, response);
    if (kind === 'put, with its answer lost') request.socket.destroy();
    if (method === 'PUT') return this.#put(request, key, body, response);
    if (method === 'DELETE') {
      this.objects.delete(key);
      response.writeHead(204).end();
      return;
    }
    const object = this.objects.get(key);
    if (!object) throw new S3Error(404, 'NoSuchKey');
    await this.#get(request, url.searchParams, object, response, kind);
  }

  #put(request: IncomingMessage, key: string, body: Buffer, response: ServerResponse): void {
    const source = request.headers['x-amz-copy-source'];
    const from =
      typeof source === 'string' ? decodeURIComponent(source).split('/').slice(1).join('/') : undefined;
    const copied = from === undefined ? undefined : this.objects.get(from.replace(/^\//, ''));
    if (from !== undefined && !copied) throw new S3Error(404, 'NoSuchKey');
    if (request.headers['if-none-match'] === '*' && this.objects.has(key))
      throw new S3Error(412, 'PreconditionFailed');
    const bytes = copied?.bytes ?? body;
    const used = [...this.objects.values()].reduce((sum, object) => sum + object.bytes.length, 0);
    if (used + bytes.length > this.quotaBytes) throw new S3Error(403, 'QuotaExceeded');
    const type = copied?.type ?? request.headers['content-type'] ?? 'binary/octet-stream';
    const modified = new Date(Math.floor(this.#now() / 1000) * 1000);
    this.objects.set(key, { bytes, type, modified });
    const etag = `"${createHash('md5').update(bytes).digest('hex')}"`;
    response.setHeader('etag', etag);
    response.end(
      copied
        ? `<CopyObjectResult><ETag>${etag}</ETag><LastModified>${modified.toISOString()}</LastModified></CopyObjectResult>`
        : '',
    );
  }

  async #get(
    request: IncomingMessage,
    query: URLSearchParams,
    { bytes, type, modified }: StoredObject,
    response: ServerResponse,
    kind: Fault['kind'] | undefined,
  ): Promise<void> {
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    const end = to ? Math.min(Number(to), bytes.length - 1) : bytes.length - 1;
    if (from !== undefined && start >= bytes.length) throw new S3Error(416, 'InvalidRange');
    const part = bytes.subarray(start, end + 1);
    response.statusCode = from === undefined ? 200 : 206;
    if (from !== undefined) response.setHeader('content-range', `bytes ${start}-${end}/${bytes.length}`);
    response.setHeader('content-length', part.length);
    response.setHeader('accept-ranges', 'bytes');
    response.setHeader('content-type', query.get('response-content-type') ?? type);
    response.setHeader('last-modified', modified.toUTCString());
    const disposition = query.get('response-content-disposition');
    if (disposition !== null) response.setHeader('content-disposition', disposition);
    if (request.method === 'HEAD') response.end();
    else if (kind === 'cut in the middle of the download')
      response.write(part.subarray(0, part.length / 2), () => response.destroy());
    else if (kind === 'silent in the middle of the download')
      response.write(part.subarray(0, part.length / 2));
    else if (kind === 'slow download') await pipeline(slowly(part), response);
    else response.end(part);
  }

  #list(query: URLSearchParams, response: ServerResponse): void {
    const prefix = query.get('prefix') ?? '';
    const delimiter = query.get('delimiter') ?? '';
    const most = Math.min(Number(query.get('max-keys') ?? pageSize), pageSize);
    const after = query.get('continuation-token') ?? '';
    const entries = new Map<string, StoredObject | undefined>();
    for (const key of [...this.objects.keys()].filter((name) => name.startsWith(prefix)).sort()) {
      const end = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
      if (end === -1) entries.set(key, this.objects.get(key));
      else entries.set(key.slice(0, end + 1), undefined);
    }
    const names = [...entries.keys()].filter((name) => name > after);
    const page = names.slice(0, most);
    const contents = page.map((name) => {
      const object = entries.get(name);
      if (!object) return `<CommonPrefixes><Prefix>${name}</Prefix></CommonPrefixes>`;
      return `<Contents><Key>${name}</Key><Size>${object.bytes.length}</Size><LastModified>${object.modified.toISOString()}</LastModified></Contents>`;
    });
    const isTruncated = names.length > page.length;
    const token = isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
    response.end(
      `<ListBucketResult><IsTruncated>${isTruncated}</IsTruncated>${token}${contents.join('')}</ListBucketResult>`,
    );
  }

  /** Signature, date and length of a request, by its headers or by its query. */
  #check(request: IncomingMessage, url: URL, body: Buffer): void {
    const query = url.searchParams;
    const isLink = query.has('X-Amz-Signature');
    const fields = isLink
      ? undefined
      : /Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)$/.exec(
          request.headers.authorization ?? '',
        );
    const credential = isLink ? query.get('X-Amz-Credential') : fields?.[1];
    const signed = isLink ? query.get('X-Amz-SignedHeaders') : fields?.[2];
    const signature = isLink ? query.get('X-Amz-Signature') : fields?.[3];
    if (!credential || !signed || !signature) throw new S3Error(403, 'AccessDenied');
    const [id, ...scope] = credential.split('/');
    if (id !== accessKeyId) throw new S3Error(403, 'InvalidAccessKeyId');
    const date = isLink ? query.get('X-Amz-Date') : request.headers['x-amz-date'];
    const at = Date.parse(String(date).replace(/(....)(..)(..)T(..)(..)(..)Z/, '$1-$2-$3T$4:$5:$6Z'));
    const ageMs = this.#now() - at;
    if (isLink && ageMs > Number(query.get('X-Amz-Expires')) * 1000) throw new S3Error(403, 'AccessDenied');
    if (!isLink && Math.abs(ageMs) > mostSkewMs) throw new S3Error(403, 'RequestTimeTooSkewed');
    const hash = isLink ? 'UNSIGNED-PAYLOAD' : String(request.headers['x-amz-content-sha256']);
    if (/^\w{64}$/.test(hash) && hash !== createHash('sha256').update(body).digest('hex'))
      throw new S3Error(400, 'XAmzContentSHA256Mismatch');
    const pairs = [...query]
      .filter(([name]) => name !== 'X-Amz-Signature')
      .map(([name, value]) => `${encode(name)}=${encode(value)}`)
      .sort();
    const headers = signed
      .split(';')
      .map((name) => `${name}:${String(request.headers[name] ?? '').trim()}\n`);
    const canonical = [request.method, url.pathname, pairs.join('&'), headers.join(''), signed, hash].join(
      '\n',
    );
    const digest = createHash('sha256').update(canonical).digest('hex');
    const text = ['AWS4-HMAC-SHA256', date, scope.join('/'), digest].join('\n');
    const key = scope.reduce<string | Buffer>((sum, part) => hmac(sum, part), `AWS4${secretAccessKey}`);
    if (hmac(key, text).toString('hex') !== signature) throw new S3Error(403, 'SignatureDoesNotMatch');
  }
}

async function* slowly(bytes: Buffer): AsyncGenerator<Buffer> {
  const length = Math.ceil(bytes.length / slowPieces);
  for (let at = 0; at < bytes.length; at += length) {
    yield bytes.subarray(at, at + length);
    await sleep(slowPauseMs);
  }
}

function refuse(response: ServerResponse, { status, code }: S3Error): void {
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(
    `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${secretAccessKey}</Message></Error>`,
  );
}
