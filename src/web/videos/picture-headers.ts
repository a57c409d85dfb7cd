/** Size and notes of the pictures of jobs, for what is told of their videos. */
import { LRUCache } from 'lru-cache';
import { type ImageHeader, readImageHeader } from '../../inference/pictures/header.ts';
import type { Artifacts } from '../../queue/artifacts.ts';

/** Videos are listed by the page; a picture that lies elsewhere is fetched for its header once. */
const remembered = 10_000;

export class PictureHeaders {
  readonly #artifacts: Artifacts;
  readonly #known = new LRUCache<string, ImageHeader>({ max: remembered });

  constructor(artifacts: Artifacts) {
    this.#artifacts = artifacts;
  }

  /** @throws what readImageHeader() throws */
  async of(jobId: string): Promise<ImageHeader> {
    const inPlace = this.#artifacts.inPlace(jobId);
    if (inPlace) return await readImageHeader(inPlace.image);
    const known = this.#known.get(jobId);
    if (known) return known;
    const header = await readImageHeader((await this.#artifacts.readImage(jobId)) ?? new Uint8Array());
    this.#known.set(jobId, header);
    return header;
  }
}
