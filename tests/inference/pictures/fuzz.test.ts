/** Damaged pictures of every kind: each gives pixels or one of the picture codes, quickly, and never a crash. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isKinoraError } from '../../../src/errors.ts';
import { decodeImage } from '../../../src/inference/pictures/decode.ts';
import { readImageHeader } from '../../../src/inference/pictures/header.ts';
import { TorchGenerator } from '../../../src/inference/random.ts';

const folder = new URL('../../fixtures/pictures/', import.meta.url);
const originals = readdirSync(folder)
  .filter((name) => name !== 'bomb.png')
  .map((name) => ({ name, bytes: readFileSync(new URL(name, folder)) }))
  .filter(({ bytes }) => bytes.length > 0);

/** Seeded whole numbers below a bound. */
function makeDice(seed: number): (bound: number) => number {
  const generator = new TorchGenerator(seed);
  return (bound) => Math.floor(Math.abs(generator.randn(1)[0] ?? 0) * 1e6) % bound;
}

/** Overwrites, cuts, repeats or inserts; more often near the start, where the headers are. */
function mutate(original: Buffer, dice: (bound: number) => number): Buffer {
  let bytes = Buffer.from(original);
  for (let change = dice(4); change >= 0; change -= 1) {
    const at = dice(2) === 0 ? dice(Math.min(bytes.length, 64)) : dice(bytes.length);
    const length = 1 + dice(8);
    switch (dice(5)) {
      case 0:
        bytes[at] = dice(256);
        break;
      case 1:
        bytes.fill(dice(2) * 255, at, Math.min(at + length, bytes.length));
        break;
      case 2:
        bytes = bytes.subarray(0, Math.max(at, 1));
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
        break;
      default:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        if (bytes.length === 0) bytes = Buffer.from([dice(256)]);
    }
  }
  return bytes;
}

describe('2,000 damaged pictures', () => {
  it('give pixels or a refusal with a sentence', async () => {
    const dice = makeDice(20261121);
    const outcomes = new Map<string, number>();
    for (let i = 0; i < 2000; i += 1) {
      const original = originals[i % originals.length];
      if (!original) throw new Error('no pictures');
      const bytes = mutate(original.bytes, dice);
      const limits = { maxPixels: 1_000_000 };
      const header = await readImageHeader(bytes, limits).catch((error: unknown) => error);
      const outcome = await decodeImage(bytes, limits).then(
        ({ width, height, data, notes }) => {
          expect(data.length).toBe(width * height * 3);
          expect(header).toEqual({ width, height, notes });
          return 'decoded';
        },
        (error: unknown) => {
          if (!isKinoraError(error)) throw error;
          // The header alone says the same, or nothing.
          if (isKinoraError(header))
            expect([header.code, header.message]).toEqual([error.code, error.message]);
          else expect(error.code).toBe('IMAGE_UNREADABLE');
          expect(error.message).toMatch(/^The .*\.$/s);
          expect(error.message.length).toBeLessThan(300);
          return error.code;
        },
      );
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    // The mutations reach every stage, so the run means something.
    const codes = ['decoded', 'IMAGE_TOO_LARGE', 'IMAGE_TOO_SMALL', 'IMAGE_UNREADABLE', 'IMAGE_UNSUPPORTED'];
    expect([...outcomes.keys()].sort()).toEqual(codes.sort());
    expect(outcomes.get('decoded')).toBeGreaterThan(100);
    expect(outcomes.get('IMAGE_UNREADABLE')).toBeGreaterThan(300);
  });
});
