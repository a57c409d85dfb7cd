/**
 * Structured logging to stderr. Secrets never pass: known fields are redacted by pino, and anything that looks like a
 * token, a cookie, a password in an address or the secret of a webhook is removed from every line before it is written.
 */
import { type DestinationStream, type Logger, pino } from 'pino';

const secretPatterns: readonly RegExp[] = [
  /\b(?:bot)?\d{6,}:[\w-]{30,}/g, // Telegram bot token, with or without the "bot" of its URLs
  /\b[\w-]{23,28}\.[\w-]{6}\.[\w-]{27,}/g, // Discord bot token
  /\bkinora_[0-9a-f]{12}_[\w-]{43}/g, // Key of the HTTP API
  /\/sign-in#[\w-]{43}/g, // Link that signs somebody in
  /\bkinora_session=[\w-]{43}/g, // Cookie of somebody who is signed in
  /\/(?:webhooks|interactions)\/\d+\/[\w-]+/g, // Discord interaction token in a route
  /\bwhsec_[\w+/=-]{16,}/g, // Secret of a webhook
  /(?<=\bkinora_session=)[^\s;,"\\]+/g, // Cookie of the studio page
  /(?<=\/sign-in#)[^\s"\\]+/g, // Token of a sign-in link
  /(?<=\bX-Amz-(?:Signature|Credential|Security-Token)=)[^\s&"\\]+/gi, // Link to a file in the storage
  /(?<=\b(?:Bearer|Basic) )[\w.~+/=-]{8,}/g, // Authorization header
  /(?<=\b[a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/"\\]+(?=@)/gi, // User and password in an address: Redis, a proxy
];

/** Replaces every secret-looking part of a text. */
export function scrubSecrets(text: string): string {
  return secretPatterns.reduce((scrubbed, pattern) => scrubbed.replace(pattern, '[secret]'), text);
}

type LineListener = (line: string) => void;
const listeners = new Set<LineListener>();

/** Calls back with each line that this process logs, without its secrets, until the returned function is called. */
export function onLogLine(listener: LineListener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Of a line as pino writes it. */
const levelOf = (line: string): number => Number(/^\{"level":(\d+)/.exec(line)?.[1] ?? 0);

/** Standard error shows lines from a level on; those who listen hear all of them. */
function scrubbingStderr(shownFrom: number): DestinationStream {
  return {
    write: (line) => {
      const clean = scrubSecrets(line);
      if (levelOf(line) >= shownFrom) process.stderr.write(clean);
      for (const hear of listeners) hear(clean);
    },
  };
}

/** pino's numbers; "error" and "fatal" have larger ones. */
const infoLevel = 30;
const warnLevel = 40;
const repeatAfterMs = 1_000;
/** Lines that are remembered. */
const rememberedLines = 500;

/**
 * Passes warnings and errors on once a second at most, each: a fault may come back thousands of times a second, and its
 * log would fill the disk. The line that passes again says how often it was held back meanwhile.
 */
function oncePerSecond(destination: DestinationStream): DestinationStream {
  const passed = new Map<string, { readonly at: number; held: number }>();
  return {
    write: (line) => {
      if (levelOf(line) < warnLevel) return destination.write(line);
      const text = line.replace(/"time":\d+,/, '');
      const now = performance.now();
      const last = passed.get(text);
      if (last && now - last.at < repeatAfterMs) {
        last.held++;
        return;
      }
      if (passed.size >= rememberedLines) passed.clear();
      passed.set(text, { at: now, held: 0 });
      destination.write(last?.held ? line.replace(/\}\n?$/, `,"heldBack":${last.held}}\n`) : line);
    },
  };
}

export type { Logger };

/**
 * A logger for one process; `name` says which. Those who listen hear "info" also where standard error shows less, unless
 * the level is "silent".
 */
export function createLogger(name: string, level: string, destination?: DestinationStream): Logger {
  const shownFrom = pino.levels.values[level] ?? Number.POSITIVE_INFINITY;
  const isQuieter = !destination && shownFrom > infoLevel && level !== 'silent';
  return pino(
    {
      name,
      level: isQuieter ? 'info' : level,
      redact: { paths: ['token', '*.token', 'url', '*.url'], censor: '[secret]' },
    },
    oncePerSecond(destination ?? scrubbingStderr(shownFrom)),
  );
}
