/** Size and notes of the pictures of jobs, for what is told of their videos. */
import { LRUCache } from 'lru-cache';
import { KinoraError } from '../../errors.ts';
import { type ImageHeader, readImageHeader } from '../../inference/pictures/header.ts';
import type { Artifacts } from '../../queue/artifacts.ts';

/** Videos are listed by the page; a picture that lies elsewhere is fetched for its header once. */
const remembered = 10_000;
/** Pictures in memory at a time, each up to the limit of pictures. */
const fetchedAtOnce = 4;

export class PictureHeaders {
  readonly #artifacts: Artifacts;
  /** Why there is none is remembered, too; that the storage failed is not. */
  readonly #known: LRUCache<string, ImageHeader | KinoraError>;
  readonly #lanes: Promise<unknown>[] = Array.from({ length: fetchedAtOnce }, () => Promise.resolve());
  #fetched = 0;

  constructor(artifacts: Artifacts) {
    this.#artifacts = artifacts;
    // Who asks while it is fetched shares the answer.
    this.#known = new LRUCache({ max: remembered, fetchMethod: (jobId) => this.#inTurn(jobId) });
  }

  /** @throws what readImageHeader() throws */
  async of(jobId: string): Promise<ImageHeader> {
    const inPlace = this.#artifacts.inPlace(jobId);
    if (inPlace) return await readImageHeader(inPlace.image);
    const known = await this.#known.forceFetch(jobId);
    if (known instanceof KinoraError) throw known;
    return known;
  }

  #inTurn(jobId: string): Promise<ImageHeader | KinoraError> {
    const lane = this.#fetched++ % fetchedAtOnce;
    const header = Promise.resolve(this.#lanes[lane]).then(() => this.#fetch(jobId));
    this.#lanes[lane] = header.catch(() => {});
    return header;
  }

  async #fetch(jobId: string): Promise<ImageHeader | KinoraError> {
    const picture = (await this.#artifacts.readImage(jobId)) ?? new Uint8Array();
    return await readImageHeader(picture).catch((error: unknown) => {
      if (error instanceof KinoraError) return error;
      throw error;
    });
  }
}
