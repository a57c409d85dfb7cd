/**
 * The main thread's end of session-thread.mjs: one thread per process, started with the first request. It does not
 * keep the process alive by itself. Knows no session and no tensor.
 */
import { Worker } from 'node:worker_threads';

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

let thread: Worker | undefined;
let lastId = 0;
const pending = new Map<number, Pending>();

function startThread(): Worker {
  const worker = new Worker(new URL('./thread.mjs', import.meta.url), { execArgv: [] });
  worker.unref();
  worker.on('message', ({ id, value, error }: Answer) => {
    const request = pending.get(id);
    pending.delete(id);
    if (pending.size === 0) worker.unref();
    if (error === undefined) request?.resolve(value);
    else request?.reject(new Error(error));
  });
  worker.on('error', (error) => {
    // Its sessions are gone with it; requests to come start afresh and find none.
    thread = undefined;
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  });
  return worker;
}

/**
 * Sends a request and waits for its answer; requests are served in order.
 * @param lent memory that goes to the thread instead of being copied
 * @throws Error with the runtime's own message
 */
export async function askSessionThread<T>(
  type: 'open' | 'run' | 'keep' | 'compute' | 'frames' | 'setFrame' | 'take' | 'forget' | 'release',
  request: Readonly<Record<string, unknown>>,
  lent: ArrayBuffer[] = [],
): Promise<T> {
  thread ??= startThread();
  const worker = thread;
  const id = ++lastId;
  const answer = new Promise<unknown>((resolve, reject) => pending.set(id, { resolve, reject }));
  worker.ref();
  try {
    worker.postMessage({ id, type, ...request }, lent);
  } catch (error) {
    pending.delete(id);
    if (pending.size === 0) worker.unref();
    throw error;
  }
  return (await answer) as T; // what the thread's handler for this type returns
}
