/**
 * Server-sent events that outlive the connection: after a pause it is opened again from the last event on. Unlike
 * EventSource it tells a stream that is over from one that broke, and speaks the language of the page.
 */
import { ApiError, open } from './client.ts';
import { readEvent, type ServerEvent } from './read-event.ts';

const firstPauseMs = 1_000;
const longestPauseMs = 20_000;
/** The server says something every 15 s; a connection that is silent for longer is dead. */
const silenceMs = 40_000;

/**
 * Calls `onEvent` until the stream is over, its video is gone, or `signal` is aborted. Resolves in all three cases.
 * @param isLast whether nothing follows this event
 */
export async function followEvents(
  path: string,
  onEvent: (event: ServerEvent) => void,
  isLast: (event: ServerEvent) => boolean,
  signal: AbortSignal,
): Promise<void> {
  let lastId = '';
  let pauseMs = firstPauseMs;
  let isOver = false;
  const hear = (event: ServerEvent): void => {
    lastId = event.id || lastId;
    pauseMs = firstPauseMs;
    isOver = isLast(event);
    onEvent(event);
  };
  while (!signal.aborted && !isOver) {
    try {
      if (!(await readOnce(path, lastId, hear, signal))) return;
    } catch (error) {
      if (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429)
        return;
      pauseMs = Math.max(pauseMs, (error instanceof ApiError && error.retryAfterMs) || 0);
    }
    if (signal.aborted || isOver) return;
    await pause(pauseMs, signal);
    pauseMs = Math.min(pauseMs * 2, longestPauseMs);
  }
}

/** @returns false when the server says that there is no more */
async function readOnce(
  path: string,
  lastId: string,
  onEvent: (event: ServerEvent) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const silent = new AbortController();
  let timer = setTimeout(() => silent.abort(), silenceMs);
  try {
    const response = await open(path, {
      headers: { accept: 'text/event-stream', ...(lastId ? { 'last-event-id': lastId } : {}) },
      signal: AbortSignal.any([signal, silent.signal]),
    });
    if (response.status === 204 || !response.body) return false;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return true;
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), silenceMs);
      text += value;
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const event = readEvent(block);
        if (event) onEvent(event);
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
