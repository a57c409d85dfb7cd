/**
 * torch's CPU random generator: the same normal numbers for the same seed, so that a seed means here what it means in
 * diffusers. Knows nothing of shapes. (ATen/core/MT19937RNGEngine.h, ATen/native/cpu/DistributionTemplates.h)
 *
 * Loops over typed arrays use `as number`: their indices are in range by construction.
 */

const stateSize = 624;
const shiftSize = 397;
const twoPi = 2 * Math.PI;
const twoPiFloat32 = Math.fround(twoPi);

/** `torch.Generator("cpu").manual_seed(seed)`. Consecutive calls continue one stream, as in torch. */
export class TorchGenerator {
  readonly #state = new Uint32Array(stateSize);
  #next = stateSize;
  /** Second number of the last pair that the short path drew. */
  #spareNormal: number | undefined;

  /** @param seed 0 … 2^53-1. Torch seeds from the low 32 bits only: seeds 2^32 apart give the same numbers. */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(
        `The seed is ${seed}; expected a whole number from 0 to ${Number.MAX_SAFE_INTEGER}.`,
      );
    }
    const state = this.#state;
    state[0] = seed % 2 ** 32;
    for (let i = 1; i < stateSize; i += 1) {
      const previous = state[i - 1] as number;
      state[i] = Math.imul(previous ^ (previous >>> 30), 1812433253) + i;
    }
  }

  /** `torch.randn(count, dtype=torch.float32)`; differs by rounding only (2e-6 at most). */
  randn(count: number): Float32Array {
    const numbers = new Float32Array(count);
    if (count < 16) {
      for (let i = 0; i < count; i += 1) numbers[i] = this.#normal();
      return numbers;
    }
    for (let i = 0; i < count; i += 1) numbers[i] = this.#uniform24();
    for (let i = 0; i + 16 <= count; i += 16) boxMuller16(numbers, i);
    if (count % 16 !== 0) {
      // Torch draws the last sixteen anew, over numbers that are already normal.
      for (let i = count - 16; i < count; i += 1) numbers[i] = this.#uniform24();
      boxMuller16(numbers, count - 16);
    }
    return numbers;
  }

  /** Normal number in double precision, one of a pair. */
  #normal(): number {
    if (this.#spareNormal !== undefined) {
      const spare = this.#spareNormal;
      this.#spareNormal = undefined;
      return spare;
    }
    const theta = twoPi * this.#uniform53();
    const radius = Math.sqrt(-2 * Math.log1p(-this.#uniform53()));
    this.#spareNormal = radius * Math.sin(theta);
    return radius * Math.cos(theta);
  }

  /** In [0, 1), 24 random bits. */
  #uniform24(): number {
    return (this.#random32() & 0xffffff) * 2 ** -24;
  }

  /** In [0, 1), 53 random bits: 21 of the first word, 32 of the second. */
  #uniform53(): number {
    const high = this.#random32() & 0x1fffff;
    return (high * 2 ** 32 + this.#random32()) * 2 ** -53;
  }

  #random32(): number {
    if (this.#next === stateSize) this.#twist();
    let word = this.#state[this.#next] as number;
    this.#next += 1;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    word ^= word >>> 18;
    return word >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < stateSize; i += 1) {
      const low = state[i + 1 === stateSize ? 0 : i + 1] as number;
      const mixed = ((state[i] as number) & 0x80000000) | (low & 0x7fffffff);
      const shifted = state[i + shiftSize < stateSize ? i + shiftSize : i + shiftSize - stateSize] as number;
      state[i] = shifted ^ (mixed >>> 1) ^ (low & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}

/** Sixteen uniform numbers become normal, the first eight paired with the last eight. */
function boxMuller16(numbers: Float32Array, start: number): void {
  for (let i = start; i < start + 8; i += 1) {
    const radius = Math.sqrt(-2 * Math.log(1 - (numbers[i] as number)));
    const theta = Math.fround(twoPiFloat32 * (numbers[i + 8] as number));
    numbers[i] = radius * Math.cos(theta);
    numbers[i + 8] = radius * Math.sin(theta);
  }
}
