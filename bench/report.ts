/** Prints tables and writes them as CSV, with machine, versions and commit. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, totalmem } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = (folder: string): string => fileURLToPath(new URL(folder, import.meta.url));
/** At the start: tables that a bench writes into the repository do not make its own commit dirty. */
const commit = commitHere();

/**
 * Where a bench puts its tables: out/bench, or with `--save` bench/results, which git tracks. Throws when the numbers to
 * be saved would belong to no commit.
 */
export function tablesFolder(save: boolean | undefined): string {
  if (!save) return here('../out/bench');
  if (/-dirty$|^unknown/.test(commit)) {
    throw new Error(`bench/results holds numbers of clean commits only, and this is ${commit}.`);
  }
  return here('results');
}

function versionOf(name: string): string {
  const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}

/** One line: machine, versions, commit and date; a copy that is not a checkout is told its commit. */
export function environmentLine(measured = commit): string {
  const [cpu] = cpus();
  return [
    `${cpus().length} × ${cpu?.model.trim() ?? 'unknown CPU'}`,
    `${(totalmem() / 1024 ** 3).toFixed(0)} GiB`,
    `Node ${process.versions.node}`,
    `onnxruntime-node ${versionOf('onnxruntime-node')}`,
    measured,
    new Date().toISOString().slice(0, 10),
  ].join(', ');
}

function commitHere(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown commit'; // not a checkout
  }
}

export type Row = Readonly<Record<string, string | number>>;

/** Prints rows as an aligned table under a title. */
export function printTable(title: string, rows: readonly Row[]): void {
  // Rows of one table may leave columns out.
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const widths = columns.map((column) =>
    Math.max(column.length, ...rows.map((row) => String(row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd();
  process.stdout.write(`\n${title}\n${line(columns)}\n${line(widths.map((width) => '-'.repeat(width)))}\n`);
  for (const row of rows)
    process.stdout.write(`${line(columns.map((column) => String(row[column] ?? '')))}\n`);
}

/** Writes rows to <folder>/<name>.csv, the environment in the first line. */
export function writeCsv(
  folder: string,
  name: string,
  rows: readonly Row[],
  environment = environmentLine(),
): void {
  // Rows of one table may leave columns out.
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cell = (value: string | number): string => {
    const text = String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [
    columns.map(cell).join(','),
    ...rows.map((row) => columns.map((column) => cell(row[column] ?? '')).join(',')),
  ];
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, `${name}.csv`), `# ${environment}\n${lines.join('\n')}\n`);
}
