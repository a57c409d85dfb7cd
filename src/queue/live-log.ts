/**
 * The latest lines that all processes log, for those who look at the machine from afar: a capped stream in Redis, best
 * effort. Standard error stays the log. Lines are written in batches over a connection of their own, nobody waits for
 * them, and while Redis is away the latest are kept in memory and the others dropped and counted.
 */
import { z } from 'zod';
import { onLogLine } from '../log.ts';
import { Keys } from './keys.ts';
import { connectRedis, type Redis, type RedisAddress } from './redis.ts';
import { readJson, writeJson } from './stored-json.ts';

/** Of all processes together. */
const mostKept = 2_000;
/** People's data must not stay in the log for longer than anybody looks for it there. */
const keptSeconds = 86_400;
const mostHeld = 500;
const batchMs = 250;
/** Of one line; the engine may say what it likes. */
const longestText = 2_000;

/** pino's numbers. */
export const logLevels = { debug: 20, info: 30, warn: 40, error: 50 } as const;
export type LogLevel = keyof typeof logLevels;
const levelNames = Object.keys(logLevels) as [LogLevel, ...LogLevel[]];

/** As pino writes it; whatever else a line says are its details. */
const writtenSchema = z.looseObject({
  level: z.number(),
  time: z.number(),
  name: z.string(),
  /** Of a process, where it is not all of it. */
  part: z.string().optional(),
  msg: z.string().default(''),
});

const storedSchema = z.object({
  at: z.number(),
  level: z.enum(levelNames),
  part: z.string(),
  text: z.string(),
  details: z.record(z.string(), z.json()),
});

export interface LogEntry extends z.infer<typeof storedSchema> {
  /** Orders the log; the entries behind it are read by it. */
  readonly id: string;
}

export interface LogFilter {
  /** This one and the graver ones. */
  readonly level: LogLevel;
  /** "bot", "worker", "engine" or "kinora"; absent: all. */
  readonly part?: string | undefined;
  /** Somewhere in the text or the details, in any case. */
  readonly text?: string | undefined;
}

/** What is kept of a line; undefined for what pino did not write. */
function entryOf(line: string): z.infer<typeof storedSchema> | undefined {
  const written = readJson(line, writtenSchema);
  if (!written) return undefined;
  const { level, time: at, name, part = name, msg, pid: _pid, hostname: _hostname, ...rest } = written;
  const told = levelNames.findLast((known) => level >= logLevels[known]) ?? 'debug';
  const details = JSON.stringify(rest, (key, value: unknown) => (key === 'stack' ? undefined : value));
  const kept =
    details.length > longestText ? { details: `${details.slice(0, longestText)}…` } : JSON.parse(details);
  return { at, level: told, part, text: msg.slice(0, longestText), details: kept };
}

/** Copies what one process logs into Redis. */
export class LogSharing {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #unlisten: () => void;
  #held: string[] = [];
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #isWriting = false;

  /** @param redis a connection of its own, which stop() closes */
  constructor(redis: Redis, keys: Keys) {
    this.#redis = redis;
    this.#key = keys.log;
    this.#unlisten = onLogLine((line) => this.#hold(line));
    redis.on('ready', () => this.#schedule());
  }

  #hold(line: string): void {
    const entry = entryOf(line);
    if (!entry) return;
    this.#held.push(writeJson(entry));
    if (this.#held.length > mostHeld) {
      this.#held.shift();
      this.#dropped++;
    }
    this.#schedule();
  }

  #schedule(): void {
    if (this.#timer || this.#isWriting || this.#held.length === 0 || this.#redis.status !== 'ready') return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#write();
    }, batchMs).unref();
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    if (await this.#canWrite()) await this.#writeHeld();
    this.#isWriting = false;
    this.#schedule();
  }

  /**
   * Asked before the lines leave the memory: a connection to a Cluster stays ready while the master of the key is away, and
   * any other one until it knows that it is broken.
   */
  async #canWrite(): Promise<boolean> {
    return await this.#redis.expire(this.#key, keptSeconds).then(
      () => true,
      () => false,
    );
  }

  async #writeHeld(): Promise<void> {
    const lines = this.#held.splice(0);
    if (this.#dropped > 0) lines.unshift(writeJson(droppedEntry(this.#dropped)));
    this.#dropped = 0;
    const batch = this.#redis.pipeline();
    for (const line of lines) batch.xadd(this.#key, 'MAXLEN', '~', mostKept, '*', 'line', line);
    // Not tried again: a batch whose answer was lost would be there twice.
    await batch
      .expire(this.#key, keptSeconds)
      .exec()
      .catch(() => undefined);
  }

  stop(): void {
    this.#unlisten();
    clearTimeout(this.#timer);
    this.#redis.disconnect();
  }
}

function droppedEntry(lines: number): z.infer<typeof storedSchema> {
  const text = 'lines of the log were dropped while Redis was away';
  return { at: Date.now(), level: 'warn', part: 'kinora', text, details: { lines } };
}

/** From now on this process's log can be read in Redis. Its own troubles there are those of the other connections. */
export function shareLog(address: RedisAddress, keys = new Keys()): LogSharing {
  return new LogSharing(
    connectRedis(address, 'fail-fast', () => {}),
    keys,
  );
}

/** Entries that are looked at in one read. */
const readAtOnce = 500;

/** Reads the shared log. Rejects when Redis does not answer. */
export class SharedLog {
  readonly #redis: Redis;
  readonly #key: string;

  /** @param redis a fail-fast connection */
  constructor(redis: Redis, keys: Keys) {
    this.#redis = redis;
    this.#key = keys.log;
  }

  /** The latest entries that pass, oldest first, and the place from which to read on. */
  async latest(filter: LogFilter, count: number): Promise<LogPage> {
    const found = await this.#redis.xrange(this.#key, '-', '+');
    const entries = found.flatMap(parse).filter((entry) => passes(entry, filter));
    return { entries: entries.slice(-count), last: found.at(-1)?.[0] ?? '0-0' };
  }

  /** What came after a place: as much as one read looks at. */
  async after(last: string, filter: LogFilter): Promise<LogPage> {
    const found = await this.#redis.xrange(this.#key, `(${last}`, '+', 'COUNT', readAtOnce);
    const entries = found.flatMap(parse).filter((entry) => passes(entry, filter));
    return { entries, last: found.at(-1)?.[0] ?? last };
  }

  /** Whether entries behind a place may have left the stream. */
  async hasLost(last: string): Promise<boolean> {
    const [oldest] = await this.#redis.xrange(this.#key, '-', '+', 'COUNT', 1);
    return oldest !== undefined && compareIds(last, oldest[0]) < 0;
  }

  /** Removes the lines in which one of these stands: ids of jobs, for example. */
  async removeThoseWith(names: readonly string[]): Promise<void> {
    const found = await this.#redis.xrange(this.#key, '-', '+');
    const ids = found
      .filter(([, fields]) => names.some((name) => fields[1]?.includes(name)))
      .map(([id]) => id);
    if (ids.length > 0) await this.#redis.xdel(this.#key, ...ids);
  }
}

export interface LogPage {
  readonly entries: readonly LogEntry[];
  /** Where the next read begins. */
  readonly last: string;
}

export const logIdPattern = /^\d{1,20}-\d{1,20}$/;

function compareIds(a: string, b: string): number {
  const [aMs = '', aNth = ''] = a.split('-');
  const [bMs = '', bNth = ''] = b.split('-');
  return Number(aMs) - Number(bMs) || Number(aNth) - Number(bNth);
}

function parse([id, fields]: [string, string[]]): LogEntry[] {
  const stored = readJson(fields[1] ?? '', storedSchema);
  return stored ? [{ id, ...stored }] : []; // of another version
}

function passes(entry: LogEntry, { level, part, text }: LogFilter): boolean {
  if (logLevels[entry.level] < logLevels[level]) return false;
  if (part !== undefined && entry.part !== part) return false;
  if (text === undefined || text === '') return true;
  return `${entry.text} ${JSON.stringify(entry.details)}`.toLowerCase().includes(text.toLowerCase());
}
