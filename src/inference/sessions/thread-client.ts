/**
 * The main thread's end of thread.mjs: one thread per process, started with the first request. It does not keep the
 * process alive by itself. Knows no session and no tensor.
 */
import { Worker } from 'node:worker_threads';
import type { FromThread, ThreadAnswer, ThreadAnswers, ThreadRequest, ToThread } from './thread-protocol.ts';

interface Pending {
  readonly resolve: (value: ThreadAnswer) => void;
  readonly reject: (error: Error) => void;
}

let thread: Worker | undefined;
let lastId = 0;
const pending = new Map<number, Pending>();

function startThread(): Worker {
  const worker = new Worker(new URL('./thread.mjs', import.meta.url), { execArgv: [] });
  worker.unref();
  worker.on('message', (answer: FromThread) => {
    const request = pending.get(answer.id);
    pending.delete(answer.id);
    if (pending.size === 0) worker.unref();
    if ('error' in answer) request?.reject(new Error(answer.error));
    else request?.resolve(answer.value);
  });
  worker.on('error', (error) => {
    // Its sessions are gone with it; later requests start a new thread and find none.
    thread = undefined;
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  });
  return worker;
}

/**
 * Sends a request and waits for its answer.
 * @param lent memory that goes to the thread instead of being copied
 * @throws Error with the runtime's own message
 */
export async function askThread<Request extends ThreadRequest>(
  request: Request,
  lent: ArrayBuffer[] = [],
): Promise<ThreadAnswers[Request['type']]> {
  thread ??= startThread();
  const worker = thread;
  const id = ++lastId;
  const answer = new Promise<ThreadAnswer>((resolve, reject) => pending.set(id, { resolve, reject }));
  worker.ref();
  try {
    worker.postMessage({ id, request } satisfies ToThread, lent);
  } catch (error) {
    pending.delete(id);
    if (pending.size === 0) worker.unref();
    throw error;
  }
  return (await answer) as ThreadAnswers[Request['type']]; // the answer with this number is of this request's type
}
