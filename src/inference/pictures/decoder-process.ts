/**
 * Decodes pictures in a process of its own, one at a time, with limits on time and memory: a picture that breaks or
 * stalls a decoder ends that process, and nothing else. Knows no model and no chat.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { z } from 'zod';
import { errorDetailSchema } from '../../error-details.ts';
import { deserializeError, isKinoraError, KinoraError } from '../../errors.ts';
import { programEnvironment } from '../../program-environment.ts';
import type { DecodedImage } from './decode.ts';
import { frame, readFrames } from './frames.ts';
import { defaultImageLimits, type ImageHeader, openImage, readPicture } from './header.ts';

const loaderUrl = pathToFileURL(createRequire(import.meta.url).resolve('tsx/esm')).href;
const entryPath = fileURLToPath(new URL('./decoder-child.ts', import.meta.url));
/** tsx reads tsconfig.json from the working directory. */
const projectRoot = fileURLToPath(new URL('../../../', import.meta.url));
export interface DecoderLimits {
  /** For one picture, over all threads. */
  readonly cpuMs: number;
  /** Resident memory of the process. */
  readonly memoryBytes: number;
}

/** The largest pictures that are allowed take a fifth of the time and half of the memory. */
const defaultLimits: DecoderLimits = { cpuMs: 20_000, memoryBytes: 1.5 * 2 ** 30 };
const maxReplyBytes = 256 * 2 ** 20;
/** The child ends itself much earlier (decoder-child.ts), unless it is so far gone that it no longer can. */
const deadlineMs = 120_000;

/** The process leaves after this answer. */
const isLast = z.boolean();
/** Parsed as if somebody else had sent it: a hostile picture may have taken the child over. */
const replySchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready'), isLast }),
  z.object({
    kind: z.literal('image'),
    isLast,
    width: z.int().positive(),
    height: z.int().positive(),
    notes: z.array(z.string()),
  }),
  z.object({
    kind: z.literal('refused'),
    isLast,
    code: z.string(),
    message: z.string(),
    detail: errorDetailSchema.optional(),
  }),
]);

type Reply = z.infer<typeof replySchema>;

/** One process at a time; it is started when it is needed, and kept for the next picture. */
export class PictureDecoder {
  readonly #limits: DecoderLimits;
  #child: DecoderChild | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(limits: Partial<DecoderLimits> = {}) {
    this.#limits = { ...defaultLimits, ...limits };
  }

  /** Starts the process, so that the first picture does not wait for it. Optional. */
  start(): void {
    if (this.#child?.isOver !== false) this.#child = new DecoderChild(this.#limits);
  }

  /**
   * As readImageHeader, and decodes the rare file whose header cannot tell whether it is whole.
   * @param source path of a file, or its bytes
   */
  async check(source: string | Uint8Array): Promise<ImageHeader> {
    const bytes = typeof source === 'string' ? await readPicture(source) : source;
    const { container, header } = await openImage(bytes, defaultImageLimits);
    if (container.lacksEnd) await this.decode(bytes);
    return header;
  }

  /**
   * As decodeImage, from bytes. Waits for the pictures before it.
   * @param signal ends the process; then CANCELLED is thrown
   */
  async decode(bytes: Uint8Array, signal?: AbortSignal): Promise<DecodedImage> {
    const decoding = this.#turn.then(async () => {
      if (signal?.aborted) throw cancelled();
      this.start();
      return await this.#child?.decode(bytes, signal);
    });
    this.#turn = decoding.catch(() => {});
    const image = await decoding;
    if (!image) throw new Error('no decoder was started');
    return image;
  }
}

class DecoderChild {
  readonly #child: ChildProcess;
  readonly #channel: Socket;
  readonly #frames: AsyncGenerator<Buffer, void>;
  readonly #started: Promise<void>;
  isOver = false;

  constructor({ cpuMs, memoryBytes }: DecoderLimits) {
    this.#child = spawn(process.execPath, ['--import', loaderUrl, entryPath, `${cpuMs}`, `${memoryBytes}`], {
      cwd: projectRoot,
      env: programEnvironment(), // tokens stay here
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    const end = (): void => {
      this.isOver = true;
    };
    this.#child.once('exit', end);
    this.#child.once('error', end);
    this.#child.unref();
    this.#channel = this.#child.stdio[3] as Socket; // a pipe in both directions, as asked for above
    this.#channel.on('error', () => {}); // seen where it is read
    this.#channel.unref();
    this.#frames = readFrames(this.#channel, maxReplyBytes);
    this.#started = this.#reply().then(() => {});
    this.#started.catch(() => {}); // decode() waits for it
  }

  async decode(bytes: Uint8Array, signal: AbortSignal | undefined): Promise<DecodedImage> {
    const kill = (): void => {
      this.isOver = true;
      this.#child.kill('SIGKILL');
    };
    const deadline = setTimeout(kill, deadlineMs);
    signal?.addEventListener('abort', kill, { once: true });
    this.#channel.ref();
    try {
      await this.#started.catch((cause: unknown) => {
        throw new Error('The process that decodes pictures cannot be started.', { cause });
      });
      return await this.#ask(bytes).catch((cause: unknown) => {
        if (isKinoraError(cause)) throw cause;
        kill();
        throw new KinoraError('IMAGE_UNREADABLE', 'The picture makes the decoder fail.', { cause });
      });
    } catch (error) {
      if (signal?.aborted) throw cancelled();
      throw error;
    } finally {
      this.#channel.unref();
      clearTimeout(deadline);
      signal?.removeEventListener('abort', kill);
    }
  }

  async #ask(bytes: Uint8Array): Promise<DecodedImage> {
    for (const part of frame(bytes)) this.#channel.write(part);
    const reply = await this.#reply();
    if (reply.kind === 'refused') {
      const { code, message, detail } = reply;
      if (isKinoraError(reply)) throw deserializeError(reply);
      throw new Error(`${code}: ${message}`, { cause: detail });
    }
    const data = await this.#next();
    if (reply.kind !== 'image' || data.length !== reply.width * reply.height * 3) {
      throw new Error('an answer that is none');
    }
    const { width, height, notes } = reply;
    return { width, height, notes, data };
  }

  async #reply(): Promise<Reply> {
    const reply = replySchema.parse(JSON.parse(String(await this.#next())));
    if (reply.isLast) this.isOver = true;
    return reply;
  }

  async #next(): Promise<Buffer> {
    const { value } = await this.#frames.next();
    if (!value) throw new Error('the process ended');
    return value;
  }
}

const cancelled = (): KinoraError => new KinoraError('CANCELLED', 'The job was cancelled.');
