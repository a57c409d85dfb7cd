/** Embeddings, overrides and isolates: one that is not closed turns the words behind it round, too. */
const directionControls = /[\u202A-\u202E\u2066-\u2069]/gu;

/**
 * Text in which the words of a person turn round no others. Letters of languages written from right to left, and the
 * marks between them, keep their direction.
 */
export function withoutDirectionControls(text: string): string {
  return text.replace(directionControls, '');
}
