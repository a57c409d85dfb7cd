/** What Kinora reads of a picture's file by itself, before any decoder sees a byte of it. */
import type { Orientation } from './exif.ts';

export interface Container {
  /**
   * The file with nothing but what its pixels need: no EXIF, XMP, comments, thumbnails or further pictures. Only these
   * bytes go on to a decoder.
   */
  readonly bytes: Uint8Array;
  /** As stored, before it is turned upright. */
  readonly width: number;
  readonly height: number;
  readonly orientation: Orientation;
  readonly isAnimated: boolean;
}

/** The file is not what its format says. The message is the end of a sentence, for people. */
export class Malformed extends Error {}

export const cutShort = (): Malformed => new Malformed('the file ends before its pixels do');

/** Collects the parts of a file that are kept. */
export class KeptParts {
  readonly #source: Buffer;
  readonly #kept: Buffer;
  #length = 0;

  /** @param spare how many bytes are added that the source does not have, at most */
  constructor(source: Buffer, spare = 0) {
    this.#source = source;
    this.#kept = Buffer.alloc(source.length + spare);
  }

  /** @returns the kept copy, which may be changed in its place */
  keep(start: number, end: number): Buffer {
    const from = this.#length;
    this.#length += this.#source.copy(this.#kept, from, start, end);
    return this.#kept.subarray(from, this.#length);
  }

  add(bytes: Uint8Array): void {
    this.#kept.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  bytes(): Buffer {
    return this.#kept.subarray(0, this.#length);
  }
}
