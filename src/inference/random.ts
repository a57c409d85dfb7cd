/**
 * torch's CPU random generator: the same numbers for the same seed, so that a seed means here what it means in
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
  readonly #state = new Int32Array(stateSize);
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
    state[0] = (seed % 2 ** 32) | 0;
    for (let i = 1; i < stateSize; i += 1) {
      const previous = state[i - 1] as number;
      state[i] = Math.imul(previous ^ (previous >>> 30), 1812433253) + i;
    }
  }

  /** `torch.randn(count, dtype=torch.float32)`; differs by rounding only (2e-6 at most). */
  randn(count: number): Float32Array {
    if (count < 16) return Float32Array.from({ length: count }, () => this.#normal());
    const numbers = new Float32Array(count);
    this.#fillUniform24(numbers);
    boxMuller(numbers);
    if (count % 16 !== 0) {
      // Torch draws the last sixteen anew, over numbers that are already normal.
      const last = numbers.subarray(count - 16);
      this.#fillUniform24(last);
      boxMuller(last);
    }
    return numbers;
  }

  /** `torch.rand(count, dtype=torch.float32)`, bit for bit. */
  rand(count: number): Float32Array {
    const numbers = new Float32Array(count);
    this.#fillUniform24(numbers);
    return numbers;
  }

  /** Numbers in [0, 1) with 24 random bits. */
  #fillUniform24(numbers: Float32Array): void {
    const state = this.#state;
    for (let i = 0; i < numbers.length; ) {
      if (this.#next === stateSize) this.#twist();
      const count = Math.min(numbers.length - i, stateSize - this.#next);
      for (let k = 0; k < count; k += 1) {
        numbers[i + k] = (temper(state[this.#next + k] as number) & 0xffffff) * 2 ** -24;
      }
      this.#next += count;
      i += count;
    }
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

  /** In [0, 1), 53 random bits: 21 of the first word, 32 of the second. */
  #uniform53(): number {
    const high = this.#random32() & 0x1fffff;
    return (high * 2 ** 32 + this.#random32()) * 2 ** -53;
  }

  #random32(): number {
    if (this.#next === stateSize) this.#twist();
    const word = temper(this.#state[this.#next] as number);
    this.#next += 1;
    return word >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    const wrap = stateSize - shiftSize;
    for (let i = 0; i < wrap; i += 1) {
      state[i] = (state[i + shiftSize] as number) ^ mix(state[i] as number, state[i + 1] as number);
    }
    for (let i = wrap; i < stateSize - 1; i += 1) {
      state[i] = (state[i - wrap] as number) ^ mix(state[i] as number, state[i + 1] as number);
    }
    const last = stateSize - 1;
    state[last] = (state[shiftSize - 1] as number) ^ mix(state[last] as number, state[0] as number);
    this.#next = 0;
  }
}

function mix(high: number, low: number): number {
  return (((high & 0x80000000) | (low & 0x7fffffff)) >>> 1) ^ (-(low & 1) & 0x9908b0df);
}

function temper(state: number): number {
  let word = state ^ (state >>> 11);
  word ^= (word << 7) & 0x9d2c5680;
  word ^= (word << 15) & 0xefc60000;
  return word ^ (word >>> 18);
}

/** Logarithm and inverse of the middle of each of 512 equal parts of [1, 2). */
const logParts = 512;
const logOfPart = Float64Array.from({ length: logParts }, (_, i) => Math.log(1 + (i + 0.5) / logParts));
const inverseOfPart = Float64Array.from({ length: logParts }, (_, i) => 1 / (1 + (i + 0.5) / logParts));

/** Cosine and sine of the middle of each of 1,024 equal parts of a turn. */
const turnParts = 1024;
const angleOfPart = (i: number): number => ((i + 0.5) / turnParts) * twoPi;
const cosOfPart = Float64Array.from({ length: turnParts }, (_, i) => Math.cos(angleOfPart(i)));
const sinOfPart = Float64Array.from({ length: turnParts }, (_, i) => Math.sin(angleOfPart(i)));

/**
 * Uniform numbers become normal, sixteen by sixteen, the first eight paired with the last eight; fewer than sixteen at
 * the end stay:
 *
 *   radius = √(−2 · ln(1 − u₁)), angle = 2π · u₂ as float32; radius · cos(angle) and radius · sin(angle)
 *
 * Logarithm, cosine and sine come from the middle of a part of their range and a short series of the distance to it. The
 * results are those of Math.log, Math.cos and Math.sin (equal in 3 million float32 numbers). Those take three times as
 * long: 100 ms more for the 3 million numbers of a standard clip of the built-in model, 3 % of its time on two cores.
 */
function boxMuller(numbers: Float32Array): void {
  for (let block = 0; block + 16 <= numbers.length; block += 16) {
    for (let i = block; i < block + 8; i += 1) {
      // ln(1 - u) for u = k / 2^24: the whole number 2^24 - k is a power of two times a mantissa in [1, 2).
      const rest = 2 ** 24 - (numbers[i] as number) * 2 ** 24;
      const zeros = Math.clz32(rest);
      const mantissa = rest << zeros;
      const part = (mantissa >>> 22) & (logParts - 1);
      const r = (mantissa >>> 0) * 2 ** -31 * (inverseOfPart[part] as number) - 1;
      const log = (logOfPart[part] as number) + r * (1 - r * (1 / 2 - r * (1 / 3))) + (7 - zeros) * Math.LN2;
      const radius = Math.sqrt(Math.abs(2 * log)); // for u = 0 the rounded log may be a hair above 0

      const u = numbers[i + 8] as number;
      const turn = (u * turnParts) | 0;
      const d = Math.fround(twoPiFloat32 * u) - (turn + 0.5) * (twoPi / turnParts);
      const sin = d * (1 - d * d * (1 / 6));
      const cos = 1 - d * d * (1 / 2 - d * d * (1 / 24));
      const [c, s] = [cosOfPart[turn] as number, sinOfPart[turn] as number];
      numbers[i] = radius * (c * cos - s * sin);
      numbers[i + 8] = radius * (s * cos + c * sin);
    }
  }
}
