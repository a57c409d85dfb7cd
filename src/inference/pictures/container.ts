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
  /** Each colour has 16 bits rather than 8 or fewer. */
  readonly has16Bits?: boolean;
  /** A part of the picture: its pixels, and where they belong. Absent when `bytes` hold the whole picture. */
  readonly frame?: { readonly left: number; readonly top: number } | undefined;
  /**
   * Where pixels may be missing at the end: the file with another end. Only where no pixels are missing, it shows the
   * same. Decoders alone do not see it in the last rows.
   */
  readonly otherEnd?: Uint8Array | undefined;
  /** The file has no end, so that its header alone does not tell whether its pixels are there. */
  readonly lacksEnd?: boolean;
}

/** The file is not what its format says. The message is the end of a sentence, for people. */
export class Malformed extends Error {}

export const cutShort = (): Malformed => new Malformed('the file ends before its pixels do');

/** Segments or chunks of one file. The largest pictures have some ten thousand. */
export const maxParts = 100_000;

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

  /** Takes the last byte away if it is this one. */
  trim(byte: number): void {
    if (this.#kept[this.#length - 1] === byte) this.#length -= 1;
  }

  bytes(): Buffer {
    return this.#kept.subarray(0, this.#length);
  }
}
