/** Text of at most `limit` UTF-16 units, as platforms count, without half a character and with "…" for what is cut off. */
export function shorten(text: string, limit: number): string {
  if (text.length <= limit) return text;
  return `${text.slice(0, lengthOfWhole(text, limit - 1)).trimEnd()}…`;
}

/** The largest length up to `limit` at which no character is cut in two. */
export function lengthOfWhole(text: string, limit: number): number {
  const last = text.charCodeAt(limit - 1);
  return Math.max(0, last >= 0xd800 && last <= 0xdbff ? limit - 1 : limit);
}
