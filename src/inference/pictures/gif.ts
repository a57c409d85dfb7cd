/** GIF: the first picture of an animation (GIF89a specification). */
import { type Container, cutShort, Malformed } from './container.ts';

const headerLength = 13;
const extension = 0x21;
const graphicControl = 0xf9;
const picture = 0x2c;
const end = 0x3b;

/** Throws Malformed. */
export function readGif(source: Buffer): Container {
  if (source.length < headerLength) throw new Malformed('its size is missing');
  const screen = Buffer.from(source.subarray(0, headerLength));
  let first: { readonly control: Buffer | undefined; readonly parts: Picture } | undefined;
  let control: Buffer | undefined;
  let isAnimated = false;
  for (let at = headerLength + tableLength(screen[10] ?? 0); source[at] !== end && at < source.length; ) {
    const start = at;
    if (source[at] === picture) {
      isAnimated = first !== undefined;
      if (isAnimated) break;
      const parts = readPicture(source, at);
      first = { control, parts };
      at = parts.end;
    } else if (source[at] === extension) {
      at = endOfBlocks(source, at + 2);
      if (source[start + 1] === graphicControl) control = source.subarray(start, at);
    } else {
      at += 1; // nothing that has a meaning
    }
  }
  if (!first) throw cutShort();
  const { left, top, width, height } = first.parts;
  // A picture of its own, as large as the frame.
  const colours = source.subarray(headerLength, headerLength + tableLength(screen[10] ?? 0));
  const size = {
    width: Math.max(screen.readUInt16LE(6), left + width),
    height: Math.max(screen.readUInt16LE(8), top + height),
  };
  screen.writeUInt16LE(width, 6);
  screen.writeUInt16LE(height, 8);
  const moved = Buffer.from(source.subarray(first.parts.start, first.parts.end));
  moved.writeUInt32LE(0, 1);
  const bytes = Buffer.concat([screen, colours, first.control ?? Buffer.alloc(0), moved, Buffer.of(end)]);
  const isPart = width !== size.width || height !== size.height;
  return { bytes, ...size, orientation: 1, isAnimated, frame: isPart ? { left, top } : undefined };
}

interface Picture {
  readonly start: number;
  readonly end: number;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

function readPicture(source: Buffer, start: number): Picture {
  if (start + 10 > source.length) throw cutShort();
  const [left = 0, top = 0, width = 0, height = 0] = [1, 3, 5, 7].map((at) =>
    source.readUInt16LE(start + at),
  );
  if (width === 0 || height === 0) throw new Malformed('it has no pixels');
  const codeSizeLength = 1;
  const pixels = start + 10 + tableLength(source[start + 9] ?? 0) + codeSizeLength;
  return { start, end: endOfBlocks(source, pixels), left, top, width, height };
}

/** Bytes of the table of colours that these flags announce. */
function tableLength(flags: number): number {
  return (flags & 0x80) === 0 ? 0 : 3 * 2 ** ((flags & 0x07) + 1);
}

/** Blocks state their lengths; an empty one is the last. */
function endOfBlocks(source: Buffer, start: number): number {
  let at = start;
  for (let length = source[at]; length !== 0; length = source[at]) {
    if (length === undefined) throw cutShort();
    at += 1 + length;
  }
  return at + 1;
}
