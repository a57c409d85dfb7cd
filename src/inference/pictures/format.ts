/**
 * Tells what a file is from its first bytes, whatever its name says. JPEG, PNG, WebP, GIF and TIFF may go on to a
 * decoder; the rest is named so that people learn what they sent. Decodes nothing.
 */

export type DecodableFormat = 'JPEG' | 'PNG' | 'WebP' | 'GIF' | 'TIFF';

export interface SniffedFormat {
  /** For people: "JPEG", "GIF", "HEIC (iPhone photo)". */
  readonly name: string;
  /** Absent when it cannot be decoded. */
  readonly format: DecodableFormat | undefined;
}

interface Signature {
  readonly name: string;
  readonly offset?: number;
  /** Latin-1 text of the bytes; `.` stands for any byte. */
  readonly bytes: string;
}

/** The first match wins. */
const signatures: readonly Signature[] = [
  { name: 'JPEG', bytes: '\xff\xd8' },
  { name: 'PNG', bytes: '\x89PNG\r\n\x1a\n' },
  { name: 'WebP', bytes: 'RIFF....WEBP' },
  { name: 'GIF', bytes: 'GIF8' },
  { name: 'TIFF', bytes: 'II*\0' },
  { name: 'TIFF', bytes: 'MM\0*' },
  { name: 'BigTIFF', bytes: 'II+\0' },
  { name: 'BigTIFF', bytes: 'MM\0+' },
  { name: 'BMP', bytes: 'BM' },
  { name: 'PDF', bytes: '%PDF' },
  { name: 'PostScript', bytes: '%!PS' },
  { name: 'Photoshop (PSD)', bytes: '8BPS' },
  { name: 'JPEG XL', bytes: '\xff\x0a' },
  { name: 'JPEG XL', bytes: '\0\0\0\x0cJXL ' },
  { name: 'JPEG 2000', bytes: '\0\0\0\x0cjP  ' },
  { name: 'JPEG 2000', bytes: '\xff\x4f\xff\x51' },
  { name: 'OpenEXR', bytes: 'v/1\x01' },
  { name: 'Radiance HDR', bytes: '#?RADIANCE' },
  { name: 'icon (ICO)', bytes: '\0\0\x01\0' },
  { name: 'AVI video', bytes: 'RIFF....AVI ' },
  { name: 'Matroska or WebM video', bytes: '\x1a\x45\xdf\xa3' },
  { name: 'ZIP archive', bytes: 'PK\x03\x04' },
  { name: 'gzip archive', bytes: '\x1f\x8b' },
  { name: 'AVIF', offset: 4, bytes: 'ftypavif' },
  { name: 'AVIF', offset: 4, bytes: 'ftypavis' },
  { name: 'HEIC', offset: 4, bytes: 'ftyphei' },
  { name: 'HEIC', offset: 4, bytes: 'ftyphev' },
  { name: 'HEIC', offset: 4, bytes: 'ftypmif1' },
  { name: 'HEIC', offset: 4, bytes: 'ftypmsf1' },
  { name: 'MP4 or QuickTime video', offset: 4, bytes: 'ftyp' },
];

const decodable: readonly DecodableFormat[] = ['JPEG', 'PNG', 'WebP', 'GIF', 'TIFF'];

/** What the bytes are, or undefined when they resemble nothing that is known. */
export function sniffFormat(bytes: Uint8Array): SniffedFormat | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 1024)).toString('latin1');
  const signature = signatures.find((candidate) => matches(head, candidate));
  const name = signature?.name ?? sniffMarkup(head);
  return name === undefined ? undefined : { name, format: decodable.find((format) => format === name) };
}

function matches(head: string, { offset = 0, bytes }: Signature): boolean {
  const part = head.slice(offset, offset + bytes.length);
  return part.length === bytes.length && [...bytes].every((byte, i) => byte === '.' || byte === part[i]);
}

function sniffMarkup(head: string): string | undefined {
  // A byte order mark shows as three Latin-1 letters; UTF-16 as letters between zeros.
  const text = head
    .replaceAll('\0', '')
    .replace(/^(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)/, '')
    .trimStart()
    .toLowerCase();
  if (/^(?:<\?xml|<!--|<!doctype svg|<svg)/.test(text) && text.includes('<svg')) return 'SVG';
  if (/^<(?:!doctype html|html)/.test(text)) return 'web page (HTML)';
  return undefined;
}

/** Names by which people mean a picture, whatever is in it: also of formats that are answered with a sentence. */
export const pictureName =
  /\.(jpe?g|jpe|jfif|png|apng|webp|gif|hei[cf]|avif|svg|bmp|tiff?|jxl|jp2|psd|ico|dng|pdf)$/i;
