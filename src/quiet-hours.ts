/** Times in which no job is begun, by a cron pattern: each minute that it names is quiet. */
import { Cron } from 'croner';

const minuteMs = 60_000;
const weekMinutes = 7 * 24 * 60;
/** A Monday: patterns name hours and days of the week, so any week will do to judge one. */
const someWeekMs = Date.UTC(2024, 0, 1);

const cronOf = (pattern: string, timeZone: string): Cron =>
  new Cron(pattern, { mode: '5-part', timezone: timeZone, paused: true });

/** Whether these are five fields of cron, "*" for day of month and month, that leave a minute of the week free. */
export function isQuietPattern(pattern: string): boolean {
  const [, , day, month] = pattern.trim().split(/\s+/);
  if (day !== '*' || month !== '*') return false;
  try {
    return restOf(cronOf(pattern, 'UTC'), someWeekMs) !== undefined;
  } catch {
    return false;
  }
}

/** Milliseconds until the first minute that is not quiet; undefined where there is none within a week. */
function restOf(cron: Cron, nowMs: number): number | undefined {
  const thisMinute = Math.floor(nowMs / minuteMs) * minuteMs;
  for (let minute = 0; minute <= weekMinutes; minute++) {
    const at = thisMinute + minute * minuteMs;
    if (!cron.match(new Date(at))) return Math.max(0, at - nowMs);
  }
  return undefined;
}

export class QuietHours {
  readonly #cron: Cron;
  /** The rest that was reckoned last: until `endMs`, at `atMs`. */
  #known = { atMs: 0, endMs: 0 };

  /**
   * @param pattern as isQuietPattern() takes it: "* 22-23,0-6 * * *" is from 22:00 to 7:00
   * @param timeZone of the pattern, such as "Europe/Berlin"
   */
  constructor(pattern: string, timeZone: string) {
    this.#cron = cronOf(pattern, timeZone);
  }

  /** Milliseconds until jobs are begun again; 0 while they are. */
  restMs(nowMs = Date.now()): number {
    const { atMs, endMs } = this.#known;
    // A clock that was set back makes an end that was reckoned before worthless.
    if (nowMs < atMs || nowMs >= endMs) {
      const restMs = restOf(this.#cron, nowMs) ?? weekMinutes * minuteMs;
      this.#known = { atMs: nowMs, endMs: nowMs + restMs };
    }
    return this.#known.endMs - nowMs;
  }
}
