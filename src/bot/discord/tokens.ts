/**
 * The interaction tokens of jobs that are not answered yet. They are secrets: only memory and files with mode 0600 hold
 * them, so that they survive a restart. They are removed after 14 minutes, when Discord forgets them, too.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Logger } from '../../log.ts';
import { jobIdSchema } from '../../queue/jobs.ts';
import type { InteractionToken } from './api.ts';

/** Discord's limit is 15 minutes; an upload that begins now should also end in time. */
export const tokenLifeMs = 14 * 60_000;
const sweepEveryMs = 60_000;

const savedSchema = z.object({ applicationId: z.string(), token: z.string(), expiresAt: z.number() });
type Saved = z.infer<typeof savedSchema>;

export class TokenStore {
  readonly #folder: string | undefined;
  readonly #log: Logger;
  readonly #tokens = new Map<string, Saved>();
  #sweeping: NodeJS.Timeout | null = null;

  /** @param folder without it, a restart forgets all tokens */
  constructor(folder: string | undefined, log: Logger) {
    this.#folder = folder;
    this.#log = log;
  }

  async start(): Promise<void> {
    if (this.#folder !== undefined) {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      for (const name of await readdir(this.#folder)) {
        const text = await readFile(join(this.#folder, name), 'utf8').catch(() => '');
        const saved = savedSchema.safeParse(parseJson(text));
        if (saved.success && jobIdSchema.safeParse(name).success) this.#tokens.set(name, saved.data);
        else await rm(join(this.#folder, name), { force: true });
      }
    }
    await this.#sweep();
    this.#sweeping = setInterval(() => void this.#sweep(), sweepEveryMs).unref();
  }

  stop(): void {
    if (this.#sweeping) clearInterval(this.#sweeping);
  }

  async save(jobId: string, token: InteractionToken, receivedAt = Date.now()): Promise<void> {
    const saved = { ...token, expiresAt: receivedAt + tokenLifeMs };
    this.#tokens.set(jobId, saved);
    if (this.#folder === undefined) return;
    const file = join(this.#folder, jobIdSchema.parse(jobId));
    await writeFile(file, JSON.stringify(saved), { mode: 0o600 }).catch((error: NodeJS.ErrnoException) =>
      this.#log.warn({ jobId, err: error.code }, 'a restart will not know how to answer in place'),
    );
  }

  /** The token of a job while it is valid. */
  read(jobId: string): InteractionToken | undefined {
    const saved = this.#tokens.get(jobId);
    return saved && Date.now() < saved.expiresAt ? saved : undefined;
  }

  /** For a job that is answered, or a token that Discord refuses. */
  async forget(jobId: string): Promise<void> {
    this.#tokens.delete(jobId);
    if (this.#folder === undefined) return;
    await rm(join(this.#folder, jobIdSchema.parse(jobId)), { force: true }).catch(() => {}); // swept at the next start
  }

  async #sweep(): Promise<void> {
    const now = Date.now();
    for (const [jobId, { expiresAt }] of this.#tokens) if (now >= expiresAt) await this.forget(jobId);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // torn by a crash
  }
}
