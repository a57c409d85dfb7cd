/**
 * How a video comes along, as server-sent events. Each event is the present state, so a client that was away misses
 * nothing that still holds: it sends the id of the last event that it has, and hears from the next change on.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { messagesFor } from '../../bot/sentences/catalogue.ts';
import type { JobClient } from '../../queue/client.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { callerWith } from '../caller.ts';
import { permission, sendEvents } from '../event-stream.ts';
import { ProblemError } from '../problem.ts';
import { type Standing, standingOf, type VideoTools, videoOf } from './video.ts';

/** Progress is heard at once; places and ends are looked up this often. */
const lookEveryMs = { running: 1_000, waiting: 3_000 } as const;
/** So that nothing on the way takes the connection for dead. */
const heartbeatMs = 15_000;
/** How long a browser waits before it connects again. */
const reconnectMs = 2_000;
const mostStreams = 1_000;

/** Wakes those who wait for news of a job. One subscription serves all of them. */
export class News {
  readonly #waiting = new Map<string, Set<() => void>>();
  #unwatch: () => void = () => {};

  async start(client: JobClient): Promise<void> {
    this.#unwatch = await client.watch(({ jobId }) => {
      for (const wake of this.#waiting.get(jobId) ?? []) wake();
    });
  }

  stop(): void {
    this.#unwatch();
    for (const all of this.#waiting.values()) for (const wake of all) wake();
  }

  /** Resolves at the next progress of a job, or after `ms`. */
  async of(jobId: string, ms: number): Promise<void> {
    const all = this.#waiting.get(jobId) ?? new Set();
    this.#waiting.set(jobId, all);
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        all.delete(wake);
        if (all.size === 0) this.#waiting.delete(jobId);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      all.add(wake);
    });
  }
}

export interface EventTools extends VideoTools {
  readonly news: News;
}

interface StreamEvent {
  /** The same state has the same id, in whatever process. */
  readonly id: string;
  readonly name: 'position' | 'phase' | 'step' | 'decoding' | 'done';
  readonly data: unknown;
}

/** Answers with the events of a video until it is completed or has failed, the client goes away, or may
 * hear no more. */
export function eventStream(
  tools: EventTools,
): (request: FastifyRequest, reply: FastifyReply, entry: LedgerEntry) => Promise<FastifyReply> {
  let streams = 0;
  return async (request, reply, entry) => {
    if (streams >= mostStreams) throw new ProblemError({ kind: 'tooManyStreams', streams: mostStreams });
    const { locale } = callerWith(request, 'use').person;
    const seen = request.headers['last-event-id'];
    const lastId = typeof seen === 'string' ? seen : undefined;
    // The answer by which a browser connects no more.
    if (lastId === doneId) return reply.code(204).send();
    streams++;
    reply.raw.once('close', () => {
      streams--;
    });
    return sendEvents(reply, events(entry.id, lastId, locale, permission(request, 'use'), tools));
  };
}

const doneId = 'done';

async function* events(
  jobId: string,
  lastId: string | undefined,
  locale: string,
  mayGoOn: () => Promise<boolean>,
  tools: EventTools,
): AsyncGenerator<string> {
  yield `retry: ${reconnectMs}\n\n`;
  let last = lastId;
  let spokeAt = performance.now();
  for (;;) {
    const now = await lookAt(jobId, locale, tools).catch(() => undefined);
    // Deleted, or Redis does not answer: the client connects again, and is told.
    if (!now) return;
    const { event, isWaiting } = now;
    if (event.id !== last) {
      yield `id: ${event.id}\nevent: ${event.name}\ndata: ${JSON.stringify(event.data)}\n\n`;
      last = event.id;
      spokeAt = performance.now();
    } else if (performance.now() - spokeAt > heartbeatMs) {
      yield ': still here\n\n';
      spokeAt = performance.now();
    }
    if (event.name === 'done') return;
    await tools.news.of(jobId, isWaiting ? lookEveryMs.waiting : lookEveryMs.running);
    if (!(await mayGoOn())) return;
  }
}

async function lookAt(
  jobId: string,
  locale: string,
  tools: EventTools,
): Promise<{ readonly event: StreamEvent; readonly isWaiting: boolean } | undefined> {
  const entry = await tools.client.ledger.read(jobId);
  if (!entry || entry.isDiscarded) return undefined;
  const standing = await standingOf(entry, tools.client);
  const isOver = standing.status === 'completed' || standing.status === 'failed';
  if (isOver) {
    const video = await videoOf(entry, standing, tools, messagesFor(locale));
    return { event: { id: doneId, name: 'done', data: video }, isWaiting: false };
  }
  return { event: eventOf(entry, standing), isWaiting: standing.ahead !== undefined };
}

function eventOf(
  { starts, state }: LedgerEntry,
  { ahead, leftMs, isStranded = false, running }: Standing,
): StreamEvent {
  const seconds_left = leftMs === undefined ? null : Math.ceil(leftMs / 1000);
  if (ahead !== undefined) {
    const data = { queue_position: ahead, waits_for_model: isStranded, seconds_left };
    return { id: `${starts}-position-${ahead}${isStranded ? '-stranded' : ''}`, name: 'position', data };
  }
  const phase = running?.phase ?? (state === 'running' ? 'loading' : 'finishing');
  const id = `${starts}-${phase}-${running?.done ?? 0}`;
  if (running && phase === 'denoising') {
    return { id, name: 'step', data: { step: running.done, steps: running.total, seconds_left } };
  }
  if (running && phase === 'decoding') {
    return { id, name: 'decoding', data: { step: running.done, steps: running.total, seconds_left } };
  }
  return { id: `${starts}-${phase}`, name: 'phase', data: { phase, seconds_left } };
}
