/** Somebody on the studio page, as the server sees it: the calls that the page makes, with the cookie of a link. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type Video, videoSchema } from '../../src/web/videos/schemas.ts';

const pollMs = 200;

export class PageVisit {
  readonly origin: string;
  readonly #cookie: string;

  private constructor(origin: string, cookie: string) {
    this.origin = origin;
    this.#cookie = cookie;
  }

  /** Opens a link of "/web". The token stands behind the #, so the page sends it on when its button is pressed. */
  static async open(link: string): Promise<PageVisit> {
    const { origin, hash } = new URL(link);
    const response = await fetch(`${origin}/v1/sign-in`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin },
      body: JSON.stringify({ token: hash.slice(1) }),
    });
    if (!response.ok) throw new Error(`the link does not sign in: ${await response.text()}`);
    const [cookie = ''] = response.headers.getSetCookie().map((one) => one.split(';')[0] ?? '');
    return new PageVisit(origin, cookie);
  }

  async #call(path: string, body?: object): Promise<Response> {
    const headers = { cookie: this.#cookie, origin: this.origin };
    const wanted = body
      ? {
          method: 'POST',
          body: JSON.stringify(body),
          headers: { ...headers, 'content-type': 'application/json' },
        }
      : { headers };
    const response = await fetch(`${this.origin}${path}`, wanted);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response;
  }

  /** All videos of this person, of every surface, newest first. */
  async library(): Promise<Video[]> {
    const answer: unknown = await (await this.#call('/v1/videos?limit=100')).json();
    return z.object({ data: z.array(videoSchema) }).parse(answer).data;
  }

  /** @returns the remix, when it is made, and its file */
  async remix(id: string, prompt: string): Promise<{ readonly video: Video; readonly clip: Uint8Array }> {
    let video = videoSchema.parse(await (await this.#call(`/v1/videos/${id}/remix`, { prompt })).json());
    while (video.status !== 'completed') {
      if (video.status === 'failed') throw new Error(`the remix has failed: ${video.error?.message}`);
      await sleep(pollMs);
      video = videoSchema.parse(await (await this.#call(`/v1/videos/${video.id}`)).json());
    }
    const content = await this.#call(`/v1/videos/${video.id}/content`);
    return { video, clip: new Uint8Array(await content.arrayBuffer()) };
  }
}
