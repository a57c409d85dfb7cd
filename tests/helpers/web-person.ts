/** Somebody who calls the API with a key. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type Video, videoSchema } from '../../src/web/videos/schemas.ts';
import { eventually } from './queue-harness.ts';

/** 640 x 480, 60 kB. */
export const photo = await readFile(fileURLToPath(new URL('../../examples/cat.jpg', import.meta.url)));

/** A client of the API with a key. */
export class WebPerson {
  readonly #web: { readonly url: string };
  readonly token: string;
  readonly userKey: string;

  constructor(web: { readonly url: string }, token: string, userKey: string) {
    this.#web = web;
    this.token = token;
    this.userKey = userKey;
  }

  async call(path: string, init: RequestInit & { headers?: Record<string, string> } = {}): Promise<Response> {
    const headers = { authorization: `Bearer ${this.token}`, ...init.headers };
    return await fetch(`${this.#web.url}${path}`, { ...init, headers });
  }

  /** Sends a form with the photo, and these fields. */
  async post(
    fields: Readonly<Record<string, string>> = {},
    { picture = photo, headers = {} }: { picture?: Uint8Array | null; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    if (picture) form.append('input_reference', new Blob([new Uint8Array(picture)]), 'photo.jpg');
    return await this.call('/v1/videos', { method: 'POST', body: form, headers });
  }

  async postJson(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return await this.call(path, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', ...headers },
    });
  }

  /** A video that was accepted. */
  async create(fields: Readonly<Record<string, string>> = {}): Promise<Video> {
    return await videoOf(await this.post({ prompt: 'zoom in', ...fields }));
  }

  async video(id: string): Promise<Video> {
    return await videoOf(await this.call(`/v1/videos/${id}`));
  }

  /** Waits until a video is completed or has failed. */
  async finished(id: string): Promise<Video> {
    let video = await this.video(id);
    await eventually(`the end of ${id}`, async () => {
      video = await this.video(id);
      return video.status === 'completed' || video.status === 'failed';
    });
    return video;
  }
}

/** @throws what the server said, when it was no video */
export async function videoOf(response: Response): Promise<Video> {
  const body: unknown = await response.json();
  if (response.status !== 200) throw new Error(`${response.status} ${JSON.stringify(body)}`);
  return videoSchema.parse(body);
}
