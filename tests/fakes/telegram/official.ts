/**
 * Telegram's own description of the Bot API, as far as npm has it for programs: a file of types that is generated from the
 * pages of core.telegram.org, one interface for each type and for the parameters of each method. Every call of
 * the bot is held against it, and so are the kinds of updates that the fake sends.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { z } from 'zod';
import type { Params } from './params.ts';

const require = createRequire(import.meta.url);
const folder = path.dirname(require.resolve('telegram-bot-api-types/package.json'));
const source = readFileSync(path.join(folder, 'index.d.ts'), 'utf8');

interface Field {
  readonly isRequired: boolean;
  readonly type: z.ZodType;
}
type Fields = ReadonlyMap<string, Field>;

const bodies = new Map(
  [...source.matchAll(/^export interface (\w+)(?: extends \w+)? \{\n(.*?)^\}/gms)].map(
    ([, name = '', body = '']) => [name, body],
  ),
);
const aliases = new Map(
  [...source.matchAll(/^export type (\w+) = (.+);$/gm)].map(([, name = '', type = '']) => [name, type]),
);
const methods: ReadonlySet<string> = new Set(
  [...(aliases.get('BotMethod') ?? '').matchAll(/'(\w+)'/g)].map(([, name = '']) => name),
);

function fieldsOf(name: string): Fields {
  const lines = (bodies.get(name) ?? '').matchAll(/^ {4}(\w+)(\??): (.+);$/gm);
  return new Map(
    [...lines].map(([, field = '', optional, type = '']) => [
      field,
      { isRequired: optional === '', type: typeOf(type) },
    ]),
  );
}

const named = new Map<string, z.ZodType>();

/** In a form numbers and booleans are text. */
const basic: Readonly<Record<string, z.ZodType>> = {
  number: z.union([z.number(), z.string().regex(/^-?\d+(\.\d+)?$/)]),
  boolean: z.union([z.boolean(), z.enum(['true', 'false'])]),
  true: z.literal([true, 'true']),
  false: z.literal([false, 'false']),
  string: z.string(),
  // Uploaded beside the other parameters, or named in a text.
  InputFile: z.never(),
};

function typeOf(text: string): z.ZodType {
  const [only = '', ...others] = alternatives(text);
  if (others.length > 0) return z.union([only, ...others].map(typeOf));
  const [, inner] = /^Array<(.+)>$/.exec(only) ?? [];
  if (inner !== undefined) return z.array(typeOf(inner));
  const [, literal] = /^'(.*)'$/.exec(only) ?? [];
  if (literal !== undefined) return z.literal(literal);
  return basic[only] ?? z.lazy(() => namedType(only));
}

/** "A | Array<B | C>" → "A", "Array<B | C>" */
function alternatives(text: string): string[] {
  const parts = [''];
  let depth = 0;
  for (const sign of text) {
    depth += sign === '<' ? 1 : sign === '>' ? -1 : 0;
    if (sign === '|' && depth === 0) parts.push('');
    else parts.push(`${parts.pop() ?? ''}${sign}`);
  }
  return parts.map((part) => part.trim());
}

function namedType(name: string): z.ZodType {
  const known = named.get(name);
  if (known) return known;
  const alias = aliases.get(name);
  if (alias === undefined && !bodies.has(name)) throw new Error(`The description has no type ${name}`);
  const fields = [...fieldsOf(name)].map(([field, { isRequired, type }]) => [
    field,
    isRequired ? type : type.optional(),
  ]);
  const made = alias === undefined ? z.strictObject(Object.fromEntries(fields)) : typeOf(alias);
  named.set(name, made);
  return made;
}

const parameters = new Map<string, Fields>();

/** What is wrong with something that the fake tells, by the name of its type; undefined when nothing is. */
export function tellingComplaint(type: string, told: unknown): string | undefined {
  const parsed = typeOf(type).safeParse(told);
  return parsed.success ? undefined : z.prettifyError(parsed.error);
}

/** What is wrong with a call; undefined when nothing is. */
export function complaint(method: string, { values, uploads }: Params): string | undefined {
  if (!methods.has(method)) return `the Bot API has no method ${method}`;
  const fields = parameters.get(method) ?? fieldsOf(`${method[0]?.toUpperCase()}${method.slice(1)}Params`);
  parameters.set(method, fields);
  for (const [name, { isRequired }] of fields) {
    if (isRequired && values[name] === undefined && !uploads.has(name)) return `${method} needs ${name}`;
  }
  for (const [name, value] of Object.entries(values)) {
    const field = fields.get(name);
    // telegraf writes the method into its forms, too; Telegram knows it from the address.
    if (!field && name === 'method') continue;
    if (!field) return `${method} has no parameter ${name}`;
    const parsed = field.type.safeParse(value);
    if (parsed.success || (typeof value === 'string' && field.type.safeParse(fromJson(value)).success))
      continue;
    return `${method}, ${name}: ${z.prettifyError(parsed.error)}`;
  }
  const texts = JSON.stringify(values);
  const lost = [...uploads.keys()].find((name) => !fields.has(name) && !texts.includes(`attach://${name}`));
  return lost === undefined ? undefined : `${method} names the file ${lost} nowhere`;
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
