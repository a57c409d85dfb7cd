/** ftfy's fix_text with its defaults (6.3.1; Robyn Speer, Apache License 2.0). */
import { decodeHTMLStrict } from 'entities';
import { fixControls, fixEncoding } from './fix-encoding.ts';

/** Line by line: entities are left alone from the first line on that holds a "<". */
export function fixText(text: string): string {
  let isHtml = false;
  return text
    .split(/(?<=\n)/)
    .map((line) => {
      isHtml ||= line.includes('<');
      return fixLine(line, isHtml);
    })
    .join('');
}

function fixLine(line: string, isHtml: boolean): string {
  for (let before = line; ; before = line) {
    line = fixControls(fixEncoding(isHtml ? line : unescapeHtml(line)))
      .replace(/[ĲĳŉǱ-ǳǄ-ǌﬀ-ﬆ]/g, (ligature) => apart[ligature] ?? ligature)
      .replace(/[\u3000\uff01-\uffef]/g, (wide) => (wide === '\u3000' ? ' ' : wide.normalize('NFKC')))
      .replace(/[\u201c-\u201f]/g, '"')
      .replace(/[\u02bc\u2018-\u201b]/g, "'")
      .replace(/\r\n?|[\u2028\u2029\x85]/g, '\n')
      .replace(/\p{Cs}/gu, '\ufffd')
      .replace(terminalEscapes, '')
      .replace(controls, '')
      .normalize('NFC');
    if (line === before) return line;
  }
}

const apart: Readonly<Record<string, string>> = {
  ...{
    Ĳ: 'IJ',
    ĳ: 'ij',
    ŉ: 'ʼn',
    Ǳ: 'DZ',
    ǲ: 'Dz',
    ǳ: 'dz',
    Ǆ: 'DŽ',
    ǅ: 'Dž',
    ǆ: 'dž',
    Ǉ: 'LJ',
    ǈ: 'Lj',
    ǉ: 'lj',
  },
  ...{ Ǌ: 'NJ', ǋ: 'Nj', ǌ: 'nj', ﬀ: 'ff', ﬁ: 'fi', ﬂ: 'fl', ﬃ: 'ffi', ﬄ: 'ffl', ﬅ: 'ſt', ﬆ: 'st' },
};

const escapeSign = '\x1b';
const terminalEscapes = new RegExp(`${escapeSign}\\[[\\p{Nd};]*[a-zA-Z]`, 'gu');

/** Not those that are white space, nor those that shape what stands around them. */
const controls = /(?![\t\n\f\r\x80-\x9f])\p{Cc}|[\u206a-\u206f\ufeff\ufff9-\ufffc]/gu;

function unescapeHtml(text: string): string {
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (entity) =>
    entity.startsWith('&#') ? unescapeNumber(entity) : unescapeName(entity),
  );
}

/** As Python's html.unescape does; an entity for a semicolon stays. */
function unescapeNumber(entity: string): string {
  const [, hexadecimal, decimal] = /^&#(?:[xX]([0-9a-fA-F]+)|([0-9]+));$/.exec(entity) ?? [];
  const code = hexadecimal ? Number.parseInt(hexadecimal, 16) : Number.parseInt(decimal ?? '', 10);
  if (Number.isNaN(code) || code === 0x3b) return entity;
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return '\ufffd';
  if (code >= 0x80 && code <= 0x9f) return fixControls(String.fromCodePoint(code));
  const character = String.fromCodePoint(code);
  return meaningless.test(character) ? '' : character;
}

const meaningless = /(?![\t\n\f\r])[\p{Cc}\p{Noncharacter_Code_Point}]/u;

/** Those of HTML 5, and in capitals what is unambiguous: "&NTILDE;" is Ñ. */
function unescapeName(entity: string): string {
  const character = decodeHTMLStrict(entity);
  if (character !== entity || entity !== entity.toUpperCase() || startsKnown.test(entity)) return character;
  const small = entity.toLowerCase();
  const decoded = decodeHTMLStrict(small);
  return decoded === small ? entity : decoded.toUpperCase();
}

/** HTML knows these without the semicolon, too, so something would remain of a longer name. */
const startsKnown = /^&(?:AMP|COPY|GT|LT|QUOT|REG|ETH|THORN)/;
