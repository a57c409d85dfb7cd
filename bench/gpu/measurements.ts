/** All measurements of bench:gpu, saved to a file after each one. Knows no table. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';

export type SideName = 'diffusers' | 'kinora';
export type Values = Readonly<Record<string, string | number>>;

const valuesSchema = z.record(z.string(), z.union([z.string(), z.number()]));
const fileSchema = z.object({
  card: z.string(),
  records: z.array(
    z.object({
      side: z.enum(['diffusers', 'kinora']),
      part: z.string(),
      key: z.string(),
      at: z.string(),
      values: valuesSchema,
    }),
  ),
});
type Stored = z.infer<typeof fileSchema>['records'][number];

/** One line of a helper process: a mark before a measurement, or its result. `at` in Unix milliseconds. */
export const lineSchema = z.union([
  z.object({ mark: z.literal('begin'), part: z.string(), key: z.string(), at: z.number() }),
  z.object({ part: z.string(), key: z.string(), values: valuesSchema, at: z.number() }),
]);

const fileName = 'gpu.json';

export class Measurements {
  readonly folder: string;
  readonly #records = new Map<string, Stored>();
  readonly #card: string;

  /** With `goOn`, continues with the measurements of an earlier run on the same card in that folder. */
  constructor(folder: string, card: string, goOn: boolean) {
    this.folder = folder;
    this.#card = card;
    const file = path.join(folder, fileName);
    if (!goOn || !existsSync(file)) return;
    const stored = fileSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
    if (stored.card !== card) throw new Error(`${file} was measured on another card: ${stored.card}.`);
    for (const record of stored.records) this.#records.set(keyOf(record), record);
  }

  add(side: SideName, part: string, key: string, values: Values): void {
    const record = { side, part, key, at: new Date().toISOString(), values: finite(values) };
    this.#records.set(keyOf(record), record);
    process.stderr.write(`${side} ${part} ${key}: ${summary(values)}\n`);
    this.#write();
  }

  /** Adds values to an earlier measurement. */
  extend(side: SideName, part: string, key: string, values: Values): void {
    const record = this.#records.get(keyOf({ side, part, key }));
    if (!record) return;
    this.#records.set(keyOf(record), { ...record, values: { ...record.values, ...values } });
    this.#write();
  }

  #write(): void {
    mkdirSync(this.folder, { recursive: true });
    const file = path.join(this.folder, fileName);
    const content = { card: this.#card, records: [...this.#records.values()] };
    writeFileSync(`${file}.part`, `${JSON.stringify(content, null, 1)}\n`);
    renameSync(`${file}.part`, file);
  }

  /** The value, or undefined when it was not measured or the measurement failed. */
  number(side: SideName, part: string, key: string, name: string): number | undefined {
    const value = this.#records.get(keyOf({ side, part, key }))?.values[name];
    return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
  }

  text(side: SideName, part: string, key: string, name: string): string | undefined {
    const value = this.#records.get(keyOf({ side, part, key }))?.values[name];
    return value === undefined ? undefined : String(value);
  }

  /** Keys of a part in the order in which they were measured first, by either side. */
  keys(part: string): string[] {
    return [
      ...new Set([...this.#records.values()].filter((record) => record.part === part).map(({ key }) => key)),
    ];
  }
}

/** The median of no steps is not a number; JSON has none such. */
const finite = (values: Values): Values =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => !Number.isNaN(value)));

const keyOf = ({ side, part, key }: { side: string; part: string; key: string }): string =>
  [side, part, key].join('\n');

function summary(values: Values): string {
  const shown = ([name, value]: [string, string | number]): string =>
    `${name} ${typeof value === 'number' ? Number(value.toPrecision(4)) : value}`;
  return Object.entries(values).map(shown).join(', ');
}
