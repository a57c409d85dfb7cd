/** ftfy's fix_encoding (6.3.1; Robyn Speer, Apache License 2.0): text whose bytes were read in a wrong encoding. */
import { isBad, utf8Sequences } from './mojibake.ts';

/** What the bytes from 0x80 on are. A runtime's own windows-1252 may be Latin-1, and it has no cp437. */
const windows1252 = `€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ${codePoints(0xa0, 0x100).join('')}`;
const cp437 =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\xa0';

interface Encoding {
  readonly name: string;
  /** In a sloppy one, 0x1A stands for a byte that was lost, and bytes without a meaning are those of Latin-1. */
  readonly isSloppy: boolean;
  readonly bytes: ReadonlyMap<string, number>;
}

/** In the order in which they are tried. */
const encodings: readonly Encoding[] = [
  encoding('latin-1', false, codePoints(0x80, 0x100).join('')),
  encoding('windows-1252', true, windows1252),
  ...['windows-1251', 'windows-1250', 'windows-1253', 'windows-1254', 'windows-1257'].map((name) =>
    encoding(name, true, highHalf(name)),
  ),
  encoding('iso-8859-2', false, highHalf('iso-8859-2')),
  encoding('macintosh', false, highHalf('macintosh')),
  encoding('cp437', false, cp437),
];

function encoding(name: string, isSloppy: boolean, high: string): Encoding {
  const bytes = new Map([...codePoints(0, 0x80), ...high].map((character, byte) => [character, byte]));
  if (isSloppy) {
    bytes.delete('\x1a');
    bytes.set('\ufffd', 0x1a);
  }
  return { name, isSloppy, bytes };
}

function codePoints(first: number, end: number): string[] {
  return Array.from({ length: end - first }, (_, i) => String.fromCodePoint(first + i));
}

/** The characters of the bytes 0x80 to 0xFF; those of Latin-1 for bytes without a meaning. */
function highHalf(name: string): string {
  const decoded = new TextDecoder(name).decode(Uint8Array.from({ length: 128 }, (_, i) => 0x80 + i));
  return [...decoded]
    .map((character, i) => (character === '\ufffd' ? String.fromCodePoint(0x80 + i) : character))
    .join('');
}

export function fixEncoding(text: string): string {
  for (let before = text; ; before = text) {
    text = fixOnce(text);
    if (text === before) return text;
  }
}

function fixOnce(text: string): string {
  if (!isBad(text)) return text;
  for (const encoding of encodings) {
    const bytes = encode(text, encoding);
    const fixed = bytes === undefined ? undefined : decodeUtf8(withLostBytes(bytes, encoding));
    if (fixed !== undefined) return fixed;
  }
  const fixed = text.replace(utf8Sequences, (part) =>
    // Of the whole text it has just been tried.
    part.length < text.length && isBad(part) ? fixEncoding(part) : part,
  );
  return fixed === text ? fixControls(text) : fixed;
}

/** C1 controls are what Windows-1252 has in their places. */
export function fixControls(text: string): string {
  return text.replace(/[\x80-\x9f]/g, (control) => windows1252.charAt(control.charCodeAt(0) - 0x80));
}

/** One character a byte, so that regular expressions can be used; undefined if a character has none. */
function encode(text: string, { bytes }: Encoding): string | undefined {
  let encoded = '';
  for (const character of text) {
    const byte = bytes.get(character);
    if (byte === undefined) return undefined;
    encoded += String.fromCharCode(byte);
  }
  return encoded;
}

/** Bytes A0 that became spaces, where UTF-8 needs one. */
const spacesInUtf8 = new RegExp(
  [
    '[\xc2\xc3\xc5\xce\xd0\xd9] ',
    '[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]',
    '[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] ',
    '\xf0 [\x80-\xbf][\x80-\xbf]',
    '\xf0[\x80-\xbf] [\x80-\xbf]',
    '\xf0[\x80-\xbf][\x80-\xbf] ',
  ].join('|'),
  'g',
);

/** UTF-8 of which bytes were lost. A question mark stands for one of them at most. */
const lossyUtf8 = new RegExp(
  [
    '[\xc2-\xdf]\x1a',
    '[\xc2-\xc3][?]',
    '\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]',
    '\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]',
    '[\xe0-\xef][\x1a?][\x1a\x80-\xbf]',
    '[\xe0-\xef][\x1a\x80-\xbf][\x1a?]',
    '[\xf0-\xf4][\x1a?][\x1a\x80-\xbf][\x1a\x80-\xbf]',
    '[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]',
    '[\xf0-\xf4][\x1a\x80-\xbf][\x1a\x80-\xbf][\x1a?]',
    '\x1a',
  ].join('|'),
  'g',
);

function withLostBytes(bytes: string, { name, isSloppy }: Encoding): string {
  let restored = bytes;
  // MacRoman's dash before a space would be taken for one.
  if (name !== 'macintosh') {
    restored = restored
      // "Ã la" is "à la", not "àla"; Portuguese has words that begin with à.
      .replace(/\xc3 (?! |quele|quela|quilo|s )/g, '\xc3\xa0 ')
      .replace(spacesInUtf8, (sequence) => sequence.replaceAll(' ', '\xa0'));
  }
  return isSloppy ? restored.replace(lossyUtf8, '\xef\xbf\xbd') : restored;
}

/** Also CESU-8 (surrogates, three bytes each) and Java's zero. Undefined if it is something else. */
function decodeUtf8(bytes: string): string | undefined {
  const standard = bytes
    .replace(/\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]/g, (pair) => {
      const units = [pair.slice(0, 3), pair.slice(3)].map(
        (unit) => 0xd000 | ((unit.charCodeAt(1) & 0x3f) << 6) | (unit.charCodeAt(2) & 0x3f),
      );
      return Buffer.from(String.fromCharCode(...units)).toString('latin1');
    })
    .replaceAll('\xc0\x80', '\0');
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(standard, 'latin1'));
  } catch {
    return undefined;
  }
}
