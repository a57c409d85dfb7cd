/**
 * ICC profiles for colours that a file states in other words, so that one library converts them all. Version 2.1 of
 * the ICC specification (ICC.1:1998-09); transfer functions and primaries by ITU-T H.273.
 */

/** CIE 1931 x and y of red, green, blue and white. */
export type Primaries = readonly [red: Point, green: Point, blue: Point, white: Point];
type Point = readonly [x: number, y: number];
export type Vector = readonly [number, number, number];
export type Matrix = readonly [Vector, Vector, Vector];

/** From a coded value to light, both in [0, 1]. */
export type Transfer = (value: number) => number;

const d65: Point = [0.3127, 0.329];
export const srgbPrimaries: Primaries = [[0.64, 0.33], [0.3, 0.6], [0.15, 0.06], d65];

/** By their number in H.273; those that say nothing, or name no three colours, are left out. */
export const codedPrimaries: Readonly<Record<number, Primaries>> = {
  1: srgbPrimaries,
  4: [
    [0.67, 0.33],
    [0.21, 0.71],
    [0.14, 0.08],
    [0.31, 0.316],
  ],
  5: [[0.64, 0.33], [0.29, 0.6], [0.15, 0.06], d65],
  6: [[0.63, 0.34], [0.31, 0.595], [0.155, 0.07], d65],
  7: [[0.63, 0.34], [0.31, 0.595], [0.155, 0.07], d65],
  8: [
    [0.681, 0.319],
    [0.243, 0.692],
    [0.145, 0.049],
    [0.31, 0.316],
  ],
  9: [[0.708, 0.292], [0.17, 0.797], [0.131, 0.046], d65],
  11: [
    [0.68, 0.32],
    [0.265, 0.69],
    [0.15, 0.06],
    [0.314, 0.351],
  ],
  12: [[0.68, 0.32], [0.265, 0.69], [0.15, 0.06], d65],
  22: [[0.63, 0.34], [0.295, 0.605], [0.155, 0.077], d65],
};

export const gamma =
  (exponent: number): Transfer =>
  (value) =>
    value ** exponent;
export const srgbTransfer: Transfer = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const bt709: Transfer = (v) => (v < 0.081243 ? v / 4.5 : ((v + 0.099297) / 1.099297) ** (1 / 0.45));
/** Pictures of high dynamic range are shown with their reference white as white (BT.2408); what is brighter is cut. */
const referenceNits = 203;
const pq: Transfer = (v) => {
  const power = v ** (1 / 78.84375);
  const light = (Math.max(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125);
  return Math.min((light * 10_000) / referenceNits, 1);
};
const hlgReference = 0.75;
const hlgScene: Transfer = (v) =>
  v <= 0.5 ? v ** 2 / 3 : (Math.exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12;
const hlg: Transfer = (v) => Math.min((hlgScene(v) / hlgScene(hlgReference)) ** 1.2, 1);

/** By their number in H.273. */
export const codedTransfers: Readonly<Record<number, Transfer>> = {
  1: bt709,
  4: gamma(2.2),
  5: gamma(2.8),
  6: bt709,
  7: (v) => (v < 0.0913 ? v / 4 : ((v + 0.1115) / 1.1115) ** (1 / 0.45)),
  8: (v) => v,
  13: srgbTransfer,
  14: bt709,
  15: bt709,
  16: pq,
  17: (v) => Math.min((v ** 2.6 * 52.37) / 48, 1),
  18: hlg,
};

/** A profile of a display. @param primaries absent for a grey one */
export function iccProfile(transfer: Transfer, primaries: Primaries | undefined): Buffer {
  const curve = curveTag(transfer);
  const tags: [string, Buffer][] = [
    ['desc', descriptionTag],
    ['wtpt', xyzTag(d50)],
  ];
  if (primaries) {
    const columns = transpose(toD50(primaries));
    for (const [n, colour] of ['r', 'g', 'b'].entries()) {
      tags.push([`${colour}XYZ`, xyzTag(columns[n] ?? d50)], [`${colour}TRC`, curve]);
    }
  } else {
    tags.push(['kTRC', curve]);
  }
  return assemble(primaries ? 'RGB ' : 'GRAY', tags);
}

const headerLength = 128;

function assemble(space: string, tags: readonly (readonly [string, Buffer])[]): Buffer {
  const table = Buffer.alloc(4 + tags.length * 12);
  table.writeUInt32BE(tags.length, 0);
  const places = new Map<Buffer, number>();
  let end = headerLength + table.length;
  for (const [n, [name, data]] of tags.entries()) {
    if (!places.has(data)) {
      places.set(data, end);
      end += data.length;
    }
    const at = 4 + n * 12;
    table.write(name, at, 'latin1');
    table.writeUInt32BE(places.get(data) ?? 0, at + 4);
    table.writeUInt32BE(data.length, at + 8);
  }
  const header = Buffer.alloc(headerLength);
  header.writeUInt32BE(end, 0);
  header.writeUInt32BE(0x02100000, 8);
  header.write(`mntr${space}XYZ `, 12, 'latin1');
  header.writeUInt16BE(2026, 24);
  header.writeUInt16BE(1, 26);
  header.writeUInt16BE(1, 28);
  header.write('acsp', 36, 'latin1');
  xyzTag(d50).copy(header, 68, 8);
  return Buffer.concat([header, table, ...places.keys()]);
}

function xyzTag(xyz: Vector): Buffer {
  const tag = Buffer.alloc(20);
  tag.write('XYZ ', 'latin1');
  for (const [n, value] of xyz.entries()) tag.writeInt32BE(Math.round(value * 65_536), 8 + n * 4);
  return tag;
}

const curvePoints = 4096;

function curveTag(transfer: Transfer): Buffer {
  const tag = Buffer.alloc(12 + curvePoints * 2);
  tag.write('curv', 'latin1');
  tag.writeUInt32BE(curvePoints, 8);
  for (let n = 0; n < curvePoints; n += 1) {
    const light = Math.min(Math.max(transfer(n / (curvePoints - 1)), 0), 1);
    tag.writeUInt16BE(Math.round(light * 65_535), 12 + n * 2);
  }
  return tag;
}

/** The text "stated", as version 2 writes descriptions. */
const descriptionTag = ((): Buffer => {
  const text = 'stated\0';
  const tag = Buffer.alloc(100);
  tag.write('desc', 'latin1');
  tag.writeUInt32BE(text.length, 8);
  tag.write(text, 12, 'latin1');
  return tag;
})();

const d50: Vector = [0.9642, 1, 0.8249];
/** Adapts a white point as eyes do (Bradford). */
const bradford: Matrix = [
  [0.8951, 0.2664, -0.1614],
  [-0.7502, 1.7135, 0.0367],
  [0.0389, -0.0685, 1.0296],
];

/** From linear RGB to XYZ under D50. */
export function toD50([red, green, blue, white]: Primaries): Matrix {
  const primaries = transpose([toXyz(red), toXyz(green), toXyz(blue)]);
  const whiteXyz = toXyz(white);
  const scale = apply(invert(primaries), whiteXyz);
  const toXyzMatrix = multiply(primaries, diagonal(scale));
  const [from, to] = [apply(bradford, whiteXyz), apply(bradford, d50)];
  const ratio: Vector = [to[0] / from[0], to[1] / from[1], to[2] / from[2]];
  return multiply(multiply(invert(bradford), multiply(diagonal(ratio), bradford)), toXyzMatrix);
}

function toXyz([x, y]: Point): Vector {
  return [x / y, 1, (1 - x - y) / y];
}

export function diagonal([a, b, c]: Vector): Matrix {
  return [
    [a, 0, 0],
    [0, b, 0],
    [0, 0, c],
  ];
}

export function transpose([[a, b, c], [d, e, f], [g, h, i]]: Matrix): Matrix {
  return [
    [a, d, g],
    [b, e, h],
    [c, f, i],
  ];
}

export function apply([r0, r1, r2]: Matrix, [x, y, z]: Vector): Vector {
  const dot = ([a, b, c]: Vector): number => a * x + b * y + c * z;
  return [dot(r0), dot(r1), dot(r2)];
}

export function multiply(left: Matrix, right: Matrix): Matrix {
  const [a, b, c] = transpose(right);
  return transpose([apply(left, a), apply(left, b), apply(left, c)]);
}

export function invert([[a, b, c], [d, e, f], [g, h, i]]: Matrix): Matrix {
  const [A, B, C] = [e * i - f * h, f * g - d * i, d * h - e * g];
  const determinant = a * A + b * B + c * C;
  const over = (value: number): number => value / determinant;
  return [
    [over(A), over(c * h - b * i), over(b * f - c * e)],
    [over(B), over(a * i - c * g), over(c * d - a * f)],
    [over(C), over(b * g - a * h), over(a * e - b * d)],
  ];
}
