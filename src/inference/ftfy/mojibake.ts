/**
 * What text looks like when its bytes were read in a wrong encoding: the heuristics of ftfy 6.3.1 (badness.py and
 * chardata.py; Robyn Speer, Apache License 2.0).
 */

/** Characters that occur in mojibake, as the inside of a character class. */
const common = String.raw`\xa0\xad·´–—―…’`;
const c1 = String.raw`\x80-\x9f`;
const bad = String.raw`¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\ufffdªº`;
const law = '¶§';
const currency = '¢£¥₧€';
const opening = String.raw`¡«¿©΄΅‘‚“„•‹\uf8ff`;
const closing = '®»˝”›™';
const numeric = '²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№';
/** Letters of which faces are made. */
const kaomoji = 'Ò-ÖÙ-Üò-öø-üŐŌŪŲ°';
const upperAccented = 'À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ';
const lowerAccented = 'ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ';
const upperCommon = 'ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я';
const lowerCommon = 'α-ωάέήίΰа-џ';
const box = '│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓';
const accented = lowerAccented + upperAccented;
const symbols = box + opening + closing + currency + numeric + law;

/** Neighbours that no language has. `\s`, `\w` and `.` are written out: Python's know more characters. */
const badNeighbours = [
  `[${c1}]`,
  `[${bad}${accented}${symbols}][${bad}]`,
  `[a-zA-Z][${lowerCommon}${upperCommon}][${bad}]`,
  `[${bad}][${accented}${symbols}]`,
  `[${lowerAccented}${lowerCommon}${box}${closing}${currency}${numeric}][${upperAccented}]`,
  `[${box}${closing}${currency}${numeric}][${lowerAccented}]`,
  `[${lowerAccented}${box}${closing}][${currency}]`,
  String.raw`[\s\x1c-\x1f\x85][${upperAccented}][${currency}]`,
  `[${upperAccented}${box}][${numeric}${law}]`,
  `[${accented}${box}${currency}${closing}][${opening}][${numeric}]`,
  `[${accented}${currency}${numeric}${box}${law}][${closing}][${opening}]`,
  `[${currency}${numeric}${box}][${opening}]`,
  `[a-z][${upperAccented}][${opening}${currency}]`,
  `[${box}][${kaomoji}]`,
  `[${accented}${currency}${numeric}${opening}${closing}${law}][${box}]`,
  `[${box}][${closing}]`,
  String.raw`[${accented}][${opening}${closing}][\p{L}\p{N}_]`,
  '[Œœ][^A-Za-z]',
  `[${upperAccented}]°`,
  // Windows-1252: two characters, Arabic, three characters of South Asia.
  String.raw`[ÂÃÎÐ][€œŠš¢£Ÿž\xa0\xad®©°·»${opening}${closing}–—´]`,
  '×[²³]',
  `(?:[ØÙ][${common}${currency}${bad}${numeric}${opening}ŸŠ®°µ»]){2}`,
  'à[²µ¹¼½¾]',
  // MacRoman
  '√[±∂†≠®™´≤≥¥µø]',
  '≈[°¢]',
  '‚Ä[ìîïòôúùû†°¢π]',
  '‚[âó][àä°ê]',
  // Windows-1251
  'вЂ',
  `[ВГРС][${c1}${bad}${opening}${closing}${currency}°µ][ВГРС]`,
  String.raw`ГўВЂВ[^\n][A-Za-z ]`,
  // Windows-1252 of à, á and the no-break space
  String.raw`Ã[\xa0¡]`,
  String.raw`[a-z][\s\x1c-\x1f\x85]?[ÃÂ] `,
  '^[ÃÂ] ',
  `[a-z.,?!${closing}]Â[ ${opening}${closing}]`,
  // Windows-1253
  String.raw`β€[™\xa0Ά\xad®°]`,
  `[ΒΓΞΟ][${c1}${bad}${opening}${closing}${currency}°][ΒΓΞΟ]`,
  // Windows-1257
  'ā€',
];

const badness = new RegExp(badNeighbours.join('|'), 'u');

/** Whether the text holds what is hardly ever meant. */
export function isBad(text: string): boolean {
  return badness.test(text);
}

/** What the bytes of UTF-8 are in one of the encodings: the first of two, three and four, and the others. */
const firstOf2 = 'Â-ßĀĂĆČĎĐĒĖĘĚĞĢĪİĶĹĻŁŃŅŇŌŐŘŚŞŠŢŪŮŰŲŹŻŽΒ-ΡΣ-ίВ-Я';
const firstOf3 = 'à-ïāăąćčďēėęěģīįķĺļŕźΰ-οа-п';
const firstOf4 = 'ðóđğšπσру';
const unmistakable = String.raw`\x80-¿ÆØæøĄąĽľŁłŒœŖŗŚśŞ-šŤťŸ-žƒˆˇ˘˛-˝΄-ΆΈ-ΊΌΎΏЁ-ЌЎЏё-ќўџҐґ†‡‰‹›€№™`;
const continuation = `${unmistakable} –-―‘-‚“-„•…`;

/** Whole sequences of UTF-8 bytes, one after another. Global: for `replace`. */
export const utf8Sequences = new RegExp(
  `(?<![${unmistakable}])` +
    `(?:[${firstOf2}][${continuation}]|[${firstOf3}][${continuation}]{2}|[${firstOf4}][${continuation}]{3})+`,
  'gu',
);
