import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { installedRuntime } from '../../../src/inference/devices/cuda-libraries.ts';
import { neededLibraries } from '../../../src/inference/devices/elf.ts';
import { makeLibrary } from '../../fakes/nvidia.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'kinora-elf-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const needs = (bytes: Buffer): string[] => {
  const file = path.join(folder, 'library.so');
  writeFileSync(file, bytes);
  return neededLibraries(file);
};

// readelf -d says the same of it.
it.skipIf(process.platform !== 'linux' || process.arch !== 'x64')("reads a real library's needs", () => {
  expect(neededLibraries(path.join(installedRuntime().folder, 'onnxruntime_binding.node'))).toEqual([
    'libonnxruntime.so.1',
    'libstdc++.so.6',
    'libm.so.6',
    'libgcc_s.so.1',
    'libc.so.6',
  ]);
});

it('reads made-up ones, and refuses what is none', () => {
  expect(needs(makeLibrary(['libcudart.so.13', 'libc.so.6']))).toEqual(['libcudart.so.13', 'libc.so.6']);
  expect(needs(makeLibrary([]))).toEqual([]);
  expect(() => needs(Buffer.from('not a library'))).toThrow(/not a 64-bit ELF/);
  expect(() => needs(Buffer.alloc(0))).toThrow(/not a 64-bit ELF/);
});

it('a damaged file ends in an error or in names, never in a hang', () => {
  const whole = makeLibrary(['libcudart.so.13', 'libcublas.so.13']);
  for (let cut = 0; cut < whole.length; cut += 7) {
    try {
      expect(Array.isArray(needs(whole.subarray(0, cut)))).toBe(true);
    } catch (error) {
      expect(error).toBeInstanceOf(Error);
    }
  }
  for (let at = 16; at < whole.length; at++) {
    const bent = Buffer.from(whole);
    bent[at] = 0xff;
    try {
      expect(Array.isArray(needs(bent))).toBe(true);
    } catch (error) {
      expect(error).toBeInstanceOf(Error);
    }
  }
});
