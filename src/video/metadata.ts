/** The tags of an MP4 that tell how it was made. Knows the container's tags, not the meaning of the values. */
import { z } from 'zod';

/** Within the limits of players and of a process's command line. */
const commentLimitBytes = 8 * 1024;
const titleLimit = 120;

export type VideoMetadata = Readonly<Record<string, string>>;

/**
 * `comment` holds all values as one JSON object, `title` the prompt, which is what players show. Values are cut,
 * longest first, until the comment fits 8 KiB.
 */
export function metadataOptions(metadata: VideoMetadata | undefined): string[] {
  if (metadata === undefined) return [];
  const title = cut(oneLine(metadata['prompt'] ?? ''), titleLimit);
  return [
    ...(title === '' ? [] : ['-metadata', `title=${title}`]),
    ...['-metadata', `comment=${boundedJson(metadata)}`],
  ];
}

const commentSchema = z.record(z.string(), z.string());

/** The opposite of metadataOptions; empty for a comment that is not Kinora's. */
export function metadataOf(comment: string): VideoMetadata {
  try {
    return commentSchema.parse(JSON.parse(comment));
  } catch {
    return {};
  }
}

function boundedJson(metadata: VideoMetadata): string {
  for (let limit = commentLimitBytes; limit >= 16; limit = Math.floor(limit / 2)) {
    const values = Object.entries(metadata).map(([key, value]) => [cut(key, 64), cut(value, limit)] as const);
    const json = JSON.stringify(Object.fromEntries(values));
    if (Buffer.byteLength(json) <= commentLimitBytes) return json;
  }
  return '{}';
}

function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\s]+/gu, ' ').trim();
}

/** Through UTF-8 and back, so that half an emoji at the cut becomes a replacement character. */
function cut(text: string, limit: number): string {
  return Buffer.from(text.length <= limit ? text : `${text.slice(0, limit - 1)}…`).toString();
}
