import { describe, expect, it } from 'vitest';
import { TorchGenerator } from '../../src/inference/random.ts';
import { floats, maxDifference, readGolden } from '../helpers/golden-numerics.ts';

describe('TorchGenerator', () => {
  const golden = readGolden<{ seed: number; counts: number[]; values: string[] }[]>('noise.json');

  it.each(golden)('seed $seed, consecutive calls of $counts numbers equal torch.randn', (entry) => {
    const generator = new TorchGenerator(entry.seed);
    for (const [call, count] of entry.counts.entries()) {
      const numbers = generator.randn(count);
      expect(numbers).toHaveLength(count);
      const kept =
        count <= 1000 ? numbers : [...numbers.filter((_, i) => i % 997 === 0), ...numbers.subarray(-16)];
      expect(maxDifference(kept, floats(entry.values[call] ?? ''))).toBeLessThanOrEqual(2e-6);
    }
  });

  it('gives nothing for nothing and draws nothing for it', () => {
    const generator = new TorchGenerator(3);
    expect(generator.randn(0)).toHaveLength(0);
    expect(generator.randn(20)).toEqual(new TorchGenerator(3).randn(20));
  });

  it.each([-1, 0.5, 2 ** 53, Number.NaN])('refuses the seed %d with the range', (seed) => {
    expect(() => new TorchGenerator(seed)).toThrow(/expected a whole number from 0 to 9007199254740991/);
  });
});
