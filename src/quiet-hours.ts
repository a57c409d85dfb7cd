/** Times in which no job is begun, by a cron pattern: each minute that it names is quiet. */
import { Cron } from 'croner';

const minuteMs = 60_000;
const weekMinutes = 7 * 24 * 60;

const cronOf = (pattern: string, timeZone: string): Cron =>
  new Cron(pattern, { mode: '5-part', timezone: timeZone, paused: true });

/** Whether these are five fields of cron, and leave a minute of each week in which jobs are begun. */
export function isQuietPattern(pattern: string): boolean {
  try {
    return restOf(cronOf(pattern, 'UTC'), Date.now()) !== undefined;
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
  /** The end that was found last. */
  #endMs = 0;

  /**
   * @param pattern as isQuietPattern() takes it: "* 22-23,0-6 * * *" is from 22:00 to 7:00
   * @param timeZone of the pattern, such as "Europe/Berlin"
   */
  constructor(pattern: string, timeZone: string) {
    this.#cron = cronOf(pattern, timeZone);
  }

  /** Milliseconds until jobs are begun again; 0 while they are. */
  restMs(nowMs = Date.now()): number {
    if (this.#endMs <= nowMs || this.#endMs - nowMs > weekMinutes * minuteMs) {
      this.#endMs = nowMs + (restOf(this.#cron, nowMs) ?? weekMinutes * minuteMs);
    }
    return this.#endMs - nowMs;
  }
}
