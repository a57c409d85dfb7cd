/**
 * What of NVIDIA a machine without a GPU can be given: libraries that only say what they need, and an nvidia-smi that
 * says what it is told to.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** A 64-bit ELF file without code whose dynamic section asks for these libraries, and some text behind it. */
export function makeLibrary(needed: readonly string[], text = ''): Buffer {
  const strings = Buffer.from(`\0${needed.map((name) => `${name}\0`).join('')}`, 'latin1');
  const stringsAt = 64 + 2 * 56;
  const dynamicAt = stringsAt + strings.length;
  /** Where the file lies in memory: addresses are not offsets. */
  const base = 0x10000;
  const dynamic = Buffer.alloc((needed.length + 2) * 16);
  let name = 1;
  for (const [index, library] of needed.entries()) {
    dynamic.writeBigUInt64LE(1n, index * 16);
    dynamic.writeBigUInt64LE(BigInt(name), index * 16 + 8);
    name += library.length + 1;
  }
  dynamic.writeBigUInt64LE(5n, needed.length * 16);
  dynamic.writeBigUInt64LE(BigInt(base + stringsAt), needed.length * 16 + 8);

  const header = Buffer.alloc(64);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeBigUInt64LE(64n, 32); // program headers
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(2, 56);
  const size = dynamicAt + dynamic.length;
  const segment = (type: number, offset: number, bytes: number): Buffer => {
    const entry = Buffer.alloc(56);
    entry.writeUInt32LE(type, 0);
    entry.writeBigUInt64LE(BigInt(offset), 8);
    entry.writeBigUInt64LE(BigInt(base + offset), 16);
    entry.writeBigUInt64LE(BigInt(bytes), 32);
    return entry;
  };
  const segments = [segment(1, 0, size), segment(2, dynamicAt, dynamic.length)];
  return Buffer.concat([header, ...segments, strings, dynamic, Buffer.from(text, 'latin1')]);
}

export function writeProgram(folder: string, name: string, script: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

/** Lines as nvidia-smi answers src/metrics/gpus.ts. */
export const h100 =
  '0, 1024, 81559, GPU-11111111-aaaa-bbbb-cccc-000000000000, 580.95.05, 9.0, NVIDIA H100 80GB HBM3';
export const rtx3060 =
  '1, 4000, 12288, GPU-22222222-aaaa-bbbb-cccc-000000000000, 580.95.05, 8.6, NVIDIA GeForce RTX 3060';

/** Puts an nvidia-smi into a folder that is meant for PATH. */
export function fakeNvidiaSmi(folder: string, lines: readonly string[]): void {
  writeProgram(folder, 'nvidia-smi', `cat <<'LINES'\n${lines.join('\n')}\nLINES`);
}
