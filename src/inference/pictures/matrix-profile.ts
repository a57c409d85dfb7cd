/**
 * Converts 16-bit colours to sRGB through a profile of three curves and a matrix, or of one curve for grey. LCMS gives
 * exact colours for 8 bits only: for 16 it interpolates in a coarse grid, and saturated or dark colours come out wrong
 * by up to 25 of 255. ICC.1:2022, annex F.3 and chapter 10.
 */
import {
  apply,
  diagonal,
  invert,
  type Matrix,
  multiply,
  srgbPrimaries,
  toD50,
  transpose,
  type Vector,
} from './colour-profile.ts';

/** From a coded value to light, both in [0, 1] for colours that can be shown. */
type Curve = (value: number) => number;

export interface MatrixProfile {
  /** One for grey, three for RGB. */
  readonly curves: readonly Curve[];
  /** From light to the light of sRGB. Grey needs none. */
  readonly matrix: Matrix;
}

/** @returns undefined for a profile of another kind, or a damaged one */
export function readMatrixProfile(icc: Buffer): MatrixProfile | undefined {
  const tag = (name: string): Buffer | undefined => findTag(icc, name);
  // What is stated by a table holds against curves and matrix.
  if (tag('A2B0') || tag('D2B0')) return undefined;
  const space = icc.toString('latin1', 16, 20);
  if (space === 'GRAY' && icc.toString('latin1', 20, 24) === 'XYZ ') {
    const curve = readCurve(tag('kTRC'));
    return curve && { curves: [curve], matrix: identity };
  }
  if (space !== 'RGB ') return undefined;
  const curves = ['rTRC', 'gTRC', 'bTRC'].map((name) => readCurve(tag(name)));
  const [red, green, blue] = ['rXYZ', 'gXYZ', 'bXYZ'].map((name) => readXyz(tag(name)));
  if (!(red && green && blue && curves.every((curve) => curve !== undefined))) return undefined;
  return { curves, matrix: multiply(invert(toD50(srgbPrimaries)), transpose([red, green, blue])) };
}

const identity: Matrix = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
];

function findTag(icc: Buffer, name: string): Buffer | undefined {
  const [tableAt, entryLength, mostTags] = [128, 12, 100];
  if (icc.length < tableAt + 4) return undefined;
  const count = Math.min(icc.readUInt32BE(tableAt), mostTags);
  for (let at = tableAt + 4, n = 0; n < count && at + entryLength <= icc.length; n += 1, at += entryLength) {
    if (icc.toString('latin1', at, at + 4) !== name) continue;
    const start = icc.readUInt32BE(at + 4);
    const end = start + icc.readUInt32BE(at + 8);
    return end <= icc.length ? icc.subarray(start, end) : undefined;
  }
  return undefined;
}

const fixed = (data: Buffer, at: number): number => data.readInt32BE(at) / 65_536;

function readXyz(data: Buffer | undefined): Vector | undefined {
  if (!data || data.length < 20 || data.toString('latin1', 0, 4) !== 'XYZ ') return undefined;
  return [fixed(data, 8), fixed(data, 12), fixed(data, 16)];
}

function readCurve(data: Buffer | undefined): Curve | undefined {
  if (!data || data.length < 12) return undefined;
  const type = data.toString('latin1', 0, 4);
  if (type === 'curv') return sampledCurve(data);
  return type === 'para' ? parametricCurve(data) : undefined;
}

function sampledCurve(data: Buffer): Curve | undefined {
  const count = data.readUInt32BE(8);
  if (count === 0) return (value) => value;
  if (data.length < 12 + count * 2) return undefined;
  const sample = (n: number): number => data.readUInt16BE(12 + n * 2);
  if (count === 1) return (value) => value ** (sample(0) / 256);
  return (value) => {
    const place = value * (count - 1);
    const n = Math.min(Math.floor(place), count - 2);
    return (sample(n) + (sample(n + 1) - sample(n)) * (place - n)) / 65_535;
  };
}

/** How many numbers each type of function has. */
const numbersOf: readonly number[] = [1, 3, 4, 5, 7];

function parametricCurve(data: Buffer): Curve | undefined {
  const type = data.readUInt16BE(8);
  const count = numbersOf[type];
  if (!count || data.length < 12 + count * 4) return undefined;
  const [g = 1, a = 1, b = 0, c = 0, d = 0, e = 0, f = 0] = Array.from({ length: count }, (_, n) =>
    fixed(data, 12 + n * 4),
  );
  const power = (value: number): number => Math.max(a * value + b, 0) ** g;
  const corner = a === 0 ? 0 : -b / a;
  if (type === 0) return power;
  if (type === 1) return (value) => (value >= corner ? power(value) : 0);
  if (type === 2) return (value) => (value >= corner ? power(value) : 0) + c;
  return (value) => (value >= d ? power(value) + e : c * value + f);
}

const steps = 65_535;
/** The sRGB of light in [0, 1], in so small steps that none is wrong by more than a twentieth of 255. */
const encoded = Uint8Array.from({ length: steps + 1 }, (_, n) => {
  const light = n / steps;
  return 255 * (light <= 0.003_130_8 ? light * 12.92 : 1.055 * light ** (1 / 2.4) - 0.055) + 0.5;
});

/** @param light in [0, 65535], and beyond for colours that cannot be shown */
function toSrgb(light: number): number {
  return encoded[light > 0 ? (light < steps ? Math.trunc(light) : steps) : 0] ?? 0;
}

/** Of light in sRGB's primaries under D50. */
const luminance: Vector = toD50(srgbPrimaries)[1];
/** A colour with L* 50; LCMS takes nothing lighter for black. */
const lightestBlack = 0.1842;

/** The darkest colour becomes black, as LCMS has it for the perceptual intent. */
function blackOf(matrix: Matrix, darkest: Vector): number {
  const [red, green, blue] = apply(matrix, darkest);
  const black = luminance[0] * red + luminance[1] * green + luminance[2] * blue;
  return Math.min(Math.max(black, 0), lightestBlack);
}

/**
 * @param data 16-bit samples: as many as the profile has curves, and alpha where there is one more channel
 * @returns 8-bit samples of sRGB, or of grey as sRGB has it, rounded to nearest; alpha stays
 */
export function toSrgbBytes(data: Uint16Array, channels: number, profile: MatrixProfile): Uint8Array {
  const { curves, matrix } = profile;
  const [reds, greens = reds, blues = reds] = curves.map((curve) =>
    Float32Array.from({ length: 65_536 }, (_, n) => curve(n / 65_535)),
  );
  if (!reds || !greens || !blues) throw new Error('a profile without curves');
  const black = blackOf(matrix, [reds[0] ?? 0, greens[0] ?? 0, blues[0] ?? 0]);
  const scale = steps / (1 - black);
  const [[rr, rg, rb], [gr, gg, gb], [br, bg, bb]] = multiply(diagonal([scale, scale, scale]), matrix);
  const offset = 0.5 - black * scale;
  const bytes = new Uint8Array(data.length);
  const colours = curves.length;
  for (let at = 0; at < data.length; at += channels) {
    const red = reds[data[at] ?? 0] ?? 0;
    if (colours === 1) {
      bytes[at] = toSrgb(scale * red + offset);
    } else {
      const green = greens[data[at + 1] ?? 0] ?? 0;
      const blue = blues[data[at + 2] ?? 0] ?? 0;
      bytes[at] = toSrgb(rr * red + rg * green + rb * blue + offset);
      bytes[at + 1] = toSrgb(gr * red + gg * green + gb * blue + offset);
      bytes[at + 2] = toSrgb(br * red + bg * green + bb * blue + offset);
    }
    if (channels > colours) bytes[at + colours] = ((data[at + colours] ?? 0) + 128) / 257;
  }
  return bytes;
}
