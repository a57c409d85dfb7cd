/**
 * The parameters of a call. Telegram takes them from the query, a form, a multipart form or JSON; a number may be its
 * digits, an object its JSON text.
 */
import type { z } from 'zod';
import { badRequest } from './api-error.ts';

/** A file inside a multipart request. */
export interface Upload {
  readonly field: string;
  readonly name: string;
  readonly bytes: Uint8Array;
}

export class Params {
  readonly values: Readonly<Record<string, unknown>>;
  readonly uploads: ReadonlyMap<string, Upload>;

  constructor(values: Readonly<Record<string, unknown>>, uploads: readonly Upload[] = []) {
    this.values = values;
    this.uploads = new Map(uploads.map((upload) => [upload.field, upload]));
  }

  text(name: string): string | undefined {
    const value = this.values[name];
    if (value === undefined || value === null) return undefined;
    if (typeof value === 'object') throw badRequest(`field "${name}" must be of type String`);
    return String(value);
  }

  integer(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined || text === '') return undefined;
    const value = Number(text);
    if (!Number.isSafeInteger(value)) throw badRequest(`field "${name}" must be a Number`);
    return value;
  }

  flag(name: string): boolean {
    return ['true', '1', 'yes', 'y', 't'].includes(this.text(name)?.toLowerCase() ?? '');
  }

  /** @param what names the thing in the error: "can't parse inline keyboard: ..." */
  object<Schema extends z.ZodType>(name: string, schema: Schema, what = name): z.output<Schema> | undefined {
    const value = this.values[name];
    if (value === undefined || value === null || value === '') return undefined;
    return parsed(typeof value === 'string' ? fromJson(value, what) : value, schema, what);
  }
}

export function parsed<Schema extends z.ZodType>(
  value: unknown,
  schema: Schema,
  what: string,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw badRequest(`can't parse ${what}: Field "${issue?.path.join('.')}": ${issue?.message}`);
}

function fromJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw badRequest(`can't parse ${what} JSON object`);
  }
}
