/** Texts from Redis and from the disk, which another version, or another program, may have written. */
import { z } from 'zod';

const json = z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    context.addIssue('not JSON');
    return z.NEVER;
  }
});

/** What a text says, or undefined when it is no JSON of this shape. */
export function readJson<T>(text: string, schema: z.ZodType<T>): T | undefined {
  return json.pipe(schema).safeParse(text).data;
}
