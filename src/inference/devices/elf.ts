/**
 * Reads from a Linux library which other libraries it needs (DT_NEEDED). So the completeness of CUDA's libraries is
 * checked without loading them, and without tools that not every machine has. Supports 64-bit little-endian ELF, the
 * format of all CUDA libraries.
 */
import { closeSync, openSync, readSync } from 'node:fs';

const programLoad = 1;
const programDynamic = 2;
const tagNeeded = 1n;
const tagStrings = 5n;
const maxHeaders = 1000;
const maxDynamicBytes = 1 << 20;
const maxNameBytes = 256;

/**
 * Names such as "libcublas.so.13", in the file's order.
 * @throws Error when the file cannot be read or is no 64-bit little-endian ELF file
 */
export function neededLibraries(file: string): string[] {
  const descriptor = openSync(file, 'r');
  try {
    const read = (position: number, length: number): Buffer => {
      const buffer = Buffer.alloc(length);
      return buffer.subarray(0, readSync(descriptor, buffer, 0, length, position));
    };
    const header = read(0, 64);
    if (header.length < 64 || header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) {
      throw new Error(`${file} is not a 64-bit ELF file.`);
    }
    const size = header.readUInt16LE(54);
    const count = Math.min(header.readUInt16LE(56), maxHeaders);
    const headers = read(Number(header.readBigUInt64LE(32)), size * count);
    if (size < 56 || headers.length < size * count) throw new Error(`${file} is cut off.`);
    const segments = Array.from({ length: count }, (_, index) => {
      const at = index * size;
      return {
        type: headers.readUInt32LE(at),
        offset: headers.readBigUInt64LE(at + 8),
        address: headers.readBigUInt64LE(at + 16),
        bytes: headers.readBigUInt64LE(at + 32),
      };
    });
    const dynamic = segments.find(({ type }) => type === programDynamic);
    if (!dynamic) return [];
    const entries = read(Number(dynamic.offset), Math.min(Number(dynamic.bytes), maxDynamicBytes));
    const needed: bigint[] = [];
    let strings: bigint | undefined;
    for (let at = 0; at + 16 <= entries.length; at += 16) {
      const tag = entries.readBigInt64LE(at);
      if (tag === 0n) break;
      if (tag === tagNeeded) needed.push(entries.readBigUInt64LE(at + 8));
      if (tag === tagStrings) strings = entries.readBigUInt64LE(at + 8);
    }
    if (strings === undefined) return [];
    const table = strings;
    const home = segments.find(
      ({ type, address, bytes }) => type === programLoad && address <= table && table < address + bytes,
    );
    if (!home) throw new Error(`${file} has no table of names.`);
    const tableOffset = table - home.address + home.offset;
    return needed.map((offset) => {
      const name = read(Number(tableOffset + offset), maxNameBytes);
      return name.toString('latin1', 0, Math.max(0, name.indexOf(0)));
    });
  } finally {
    closeSync(descriptor);
  }
}
