// @ts-nocheck: gets its types with the protocol of the session thread
// Whether numbers are finite, millions at a time. Plain JavaScript: it runs in the session thread, too. Types in
// finite.d.mts.

const withoutSign = 0x7fffffff;
const lowestExponentBit = 0x00800000;
const blockSize = 4096;

/** As Check in session.ts says. Of few numbers, some are all. */
export function passes(data, check) {
  if (check === 'none') return true;
  if (check !== 'some') return isFinite32(data);
  for (let start = 0; start < data.length; start += 16 * blockSize) {
    if (!isFinite32(data.subarray(start, start + blockSize))) return false;
  }
  return true;
}

/**
 * The exponent bits of NaN and infinity are all ones, so that adding the lowest exponent bit carries into the sign bit;
 * there the bits of all values are collected, four at a time and without a branch.
 */
export function isFinite32(data) {
  const bits = new Int32Array(data.buffer, data.byteOffset, data.length);
  let signs = 0;
  let i = 0;
  for (; i + 4 <= bits.length; i += 4) {
    const a = (bits[i] & withoutSign) + lowestExponentBit;
    const b = (bits[i + 1] & withoutSign) + lowestExponentBit;
    const c = (bits[i + 2] & withoutSign) + lowestExponentBit;
    const d = (bits[i + 3] & withoutSign) + lowestExponentBit;
    signs |= a | b | c | d;
  }
  for (; i < bits.length; i += 1) signs |= (bits[i] & withoutSign) + lowestExponentBit;
  return signs >= 0;
}
