/**
 * A client of the API that never gives up: it asks again until somebody answers, remembers every state that it was told,
 * and notes what an API that keeps its word does not say.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type Video, videoSchema } from '../../src/web/videos/schemas.ts';

export interface Answer {
  readonly status: number;
  readonly bytes: Uint8Array;
}

export interface Wish {
  /** Its Idempotency-Key. */
  readonly key: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** Somebody listens to its events. */
  readonly isHeard: boolean;
  readonly fate: 'kept' | 'cancelled' | 'deleted';
}

/** One video as its person knows it. */
export interface Known extends Wish {
  readonly id: string;
  /** What it costs when it is completed. */
  readonly credits: number;
  /** Every state in the order in which it was told, repetitions left out. */
  readonly states: Video['status'][];
  wasCancelled: boolean;
  deletion: 'none' | 'asked' | 'confirmed';
  /** SHA-256 of its content when it was first seen completed. */
  content: string | undefined;
  /** What its stream of events said at the end. */
  heard: Video['status'] | undefined;
}

const ranks: Readonly<Record<Video['status'], number>> = {
  queued: 0,
  in_progress: 1,
  completed: 2,
  failed: 2,
};
const retryMs = 100;
const listSchema = z.object({ data: z.array(videoSchema), has_more: z.boolean() });

export class WebClient {
  readonly userKey: string;
  readonly known = new Map<string, Known>();
  readonly violations: string[] = [];
  /** Calls that got no answer, or one that says to try again. */
  unanswered = 0;
  readonly #url: () => string;
  readonly #token: string;
  readonly #patienceMs: number | undefined;

  /**
   * @param url where it is served, asked at every call
   * @param patienceMs for one answer to a call; without it, as long as it takes
   */
  constructor(url: () => string, token: string, userKey: string, patienceMs?: number) {
    this.#url = url;
    this.#token = token;
    this.userKey = userKey;
    this.#patienceMs = patienceMs;
  }

  async #fetch(path: string, init: RequestInit = {}): Promise<Response | undefined> {
    try {
      const headers = { ...init.headers, authorization: `Bearer ${this.#token}` };
      const response = await fetch(`${this.#url()}${path}`, { ...init, headers });
      if (response.status < 500) return response;
      await response.arrayBuffer();
    } catch {
      // The connection broke.
    }
    this.unanswered++;
    return undefined;
  }

  /** Asks until somebody answers. */
  async call(path: string, init: RequestInit = {}): Promise<Answer> {
    for (;;) {
      const signal = this.#patienceMs === undefined ? {} : { signal: AbortSignal.timeout(this.#patienceMs) };
      const response = await this.#fetch(path, { ...init, ...signal });
      const bytes = await response?.arrayBuffer().catch(() => undefined);
      if (response && bytes) return { status: response.status, bytes: new Uint8Array(bytes) };
      await sleep(retryMs);
    }
  }

  /** @returns the answer to a request; to the same one the same */
  async #create({ key, body }: Wish): Promise<Answer> {
    return await this.call('/v1/videos', {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
    });
  }

  async ask(wish: Wish): Promise<Known> {
    const { status, bytes } = await this.#create(wish);
    if (status !== 200) throw new Error(`${wish.key} was refused: ${status} ${textOf(bytes)}`);
    const { id, credits } = videoIn(bytes);
    const before = this.known.get(id);
    if (before) this.violations.push(`${before.key} and ${wish.key} are the same video ${id}`);
    const video: Known = {
      ...{ ...wish, id, credits, states: [], wasCancelled: false, deletion: 'none' },
      ...{ content: undefined, heard: undefined },
    };
    this.known.set(id, video);
    return video;
  }

  /** Sends the request once more: no second video may come of it. */
  async repeat(video: Known): Promise<void> {
    const { status, bytes } = await this.#create(video);
    if (video.deletion !== 'none') {
      if (status === 200) this.violations.push(`${video.id} was deleted, and made again as ${textOf(bytes)}`);
    } else if (status !== 200 || videoIn(bytes).id !== video.id) {
      this.violations.push(`${video.key} was ${video.id}, and is now ${status} ${textOf(bytes)}`);
    }
  }

  async cancel(video: Known): Promise<void> {
    const { status } = await this.call(`/v1/videos/${video.id}/cancel`, { method: 'POST' });
    // 409: it was finished before, or cancelled by an earlier call whose answer was lost.
    if (status === 200) video.wasCancelled = true;
    else if (status !== 409) this.violations.push(`${video.id} cannot be cancelled: ${status}`);
  }

  async delete(video: Known): Promise<void> {
    video.deletion = 'asked';
    const { status } = await this.call(`/v1/videos/${video.id}`, { method: 'DELETE' });
    // 404: deleted by an earlier call whose answer was lost.
    if (status !== 200 && status !== 404) this.violations.push(`${video.id} cannot be deleted: ${status}`);
    video.deletion = 'confirmed';
  }

  /** Asks for one video, and holds the answer against all that was said before. */
  async look(video: Known): Promise<Video | undefined> {
    const wasDeleted = video.deletion === 'confirmed';
    const { status, bytes } = await this.call(`/v1/videos/${video.id}`);
    if (status !== 200) {
      if (video.deletion === 'none') this.violations.push(`${video.id} is lost: ${status} ${textOf(bytes)}`);
      return undefined;
    }
    if (wasDeleted) this.violations.push(`${video.id} was deleted, and is there`);
    const told = videoIn(bytes);
    this.#note(video, told);
    if (told.status === 'completed') video.content ??= await this.contentOf(video);
    return told;
  }

  /** Looks at the list, and at one of the videos. */
  async browse(): Promise<void> {
    await this.list();
    const videos = [...this.known.values()];
    const one = videos[Math.floor(Math.random() * videos.length)];
    if (one) await this.look(one);
  }

  #note(video: Known, { status }: Video): void {
    const last = video.states.at(-1);
    if (status === last) return;
    if (last !== undefined && ranks[status] <= ranks[last]) {
      this.violations.push(`${video.id} went from ${last} to ${status}`);
    }
    video.states.push(status);
  }

  /** Ids of the list, each as often as it is told. */
  async list(): Promise<string[]> {
    const ids: string[] = [];
    for (let after = ''; ; ) {
      const { status, bytes } = await this.call(`/v1/videos?limit=100${after && `&after=${after}`}`);
      // The video at the cursor may have been deleted since.
      if (status !== 200) return ids;
      const page = listSchema.parse(JSON.parse(textOf(bytes)));
      for (const told of page.data) {
        const video = this.known.get(told.id);
        if (video) this.#note(video, told);
        ids.push(told.id);
      }
      const last = page.data.at(-1);
      if (!page.has_more || !last) return ids;
      after = last.id;
    }
  }

  /** SHA-256, or undefined where the video was deleted meanwhile. */
  async contentOf(video: Known): Promise<string | undefined> {
    const { status, bytes } = await this.call(`/v1/videos/${video.id}/content`);
    if (status !== 200) {
      if (video.deletion === 'none') {
        this.violations.push(`${video.id} is completed, and its content is ${status}`);
      }
      return undefined;
    }
    if (textOf(bytes.subarray(4, 8)) !== 'ftyp') this.violations.push(`${video.id} is no MP4`);
    return createHash('sha256').update(bytes).digest('hex');
  }

  /** The link into the bucket that it is sent to for the content; undefined where it gets that here. */
  async linkTo(video: Known): Promise<string | undefined> {
    const response = await this.#fetch(`/v1/videos/${video.id}/content`, { redirect: 'manual' });
    await response?.arrayBuffer();
    return response?.headers.get('location') ?? undefined;
  }

  /** Listens to its events to the end, over as many connections as it takes. */
  async listen(video: Known): Promise<void> {
    for (let lastId = ''; video.heard === undefined && video.deletion === 'none'; await sleep(retryMs)) {
      const headers = lastId === '' ? {} : { 'last-event-id': lastId };
      const response = await this.#fetch(`/v1/videos/${video.id}/events`, { headers });
      if (!response) continue;
      if (response.status !== 200) {
        await response.arrayBuffer();
        if (video.deletion === 'none') {
          this.violations.push(`the events of ${video.id} are ${response.status}`);
        }
        return;
      }
      const text = await readAll(response);
      lastId = [...text.matchAll(/^id: (.*)$/gm)].at(-1)?.[1] ?? lastId;
      const [, done] = /^event: done\ndata: (.*)$/m.exec(text) ?? [];
      if (done !== undefined) video.heard = videoSchema.parse(JSON.parse(done)).status;
    }
  }
}

/** As much of an answer as arrives before its connection ends, in whatever way. */
async function readAll(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  try {
    for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true });
  } catch {
    // The server was killed.
  }
  return text;
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

const videoIn = (bytes: Uint8Array): Video => videoSchema.parse(JSON.parse(textOf(bytes)));
