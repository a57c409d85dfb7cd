/**
 * The people of the API, in a process of their own: they ask for videos, listen to events and poll. Argument: LoadOptions
 * as JSON. Sends "listening" when all listeners have heard something, and at the message "stop" a LoadReport.
 */
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { LoadOptions, LoadReport } from './protocol.ts';

const options = JSON.parse(process.argv[2] ?? '') as LoadOptions; // written by bench/web.ts
const { url, tokens, listeners, pollsPerSecond, requestsPerSecond } = options;
const photo = await readFile(fileURLToPath(new URL('../../examples/cat.jpg', import.meta.url)));

interface Wish {
  readonly id: string;
  readonly token: string;
}

const waiting: Wish[] = [];
const createMs: number[] = [];
const pollMs: number[] = [];
const problems: string[] = [];
let events = 0;
let listening = 0;
let asked = 0;
let isOver = false;

async function ask(isMeasured: boolean): Promise<void> {
  const token = tokens[asked++ % tokens.length] ?? '';
  const form = new FormData();
  form.append('prompt', `zoom in ${asked}`);
  form.append('preset', 'fast');
  form.append('input_reference', new Blob([photo]), 'cat.jpg');
  const startedAt = performance.now();
  const response = await fetch(`${url}/v1/videos`, {
    method: 'POST',
    body: form,
    headers: { authorization: `Bearer ${token}` },
  });
  const text = await response.text();
  if (isMeasured) createMs.push(performance.now() - startedAt);
  if (!response.ok) return void problems.push(`POST ${response.status} ${text}`);
  waiting.push({ id: (JSON.parse(text) as { id: string }).id, token });
}

/** Listens to one video after another, as long as the bench runs. */
async function listen(n: number): Promise<void> {
  let isFirst = true;
  while (!isOver) {
    // Spread over what waits, the newest first to end last.
    const wish = waiting[waiting.length - 1 - (n % Math.max(1, waiting.length))];
    if (!wish) {
      await sleep(50);
      continue;
    }
    await new Promise<void>((resolve) => {
      const headers = { authorization: `Bearer ${wish.token}`, accept: 'text/event-stream' };
      const call = request(`${url}/v1/videos/${wish.id}/events`, { headers }, (response) => {
        if (response.statusCode !== 200) problems.push(`events ${response.statusCode}`);
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          const heard = chunk.match(/^event:/gm)?.length ?? 0;
          events += heard;
          if (isFirst && heard > 0) {
            isFirst = false;
            listening++;
            if (listening === listeners) process.send?.('listening');
          }
          if (chunk.includes('event: done')) {
            const at = waiting.indexOf(wish);
            if (at >= 0) waiting.splice(at, 1);
          }
        });
        response.on('close', resolve);
        response.on('error', () => resolve());
      });
      call.on('error', () => resolve());
      call.end();
    });
  }
}

async function poll(n: number): Promise<void> {
  const wish = waiting[n % Math.max(1, waiting.length)];
  if (!wish) return;
  const startedAt = performance.now();
  const response = await fetch(`${url}/v1/videos/${wish.id}`, {
    headers: { authorization: `Bearer ${wish.token}` },
  });
  await response.arrayBuffer();
  pollMs.push(performance.now() - startedAt);
  if (!response.ok) problems.push(`GET ${response.status}`);
}

/** Calls at a steady rate, whether or not the answers come: people do not wait for each other. */
function steadily(perSecond: number, call: (n: number) => Promise<void>): void {
  let n = 0;
  const timer = setInterval(() => {
    if (isOver) return clearInterval(timer);
    call(n++).catch((error: unknown) => problems.push(String(error)));
  }, 1000 / perSecond);
}

// What waits before anybody measures.
for (let i = 0; i < options.waiting; i++) await ask(false);
const all = Array.from({ length: listeners }, (_, n) => listen(n));
void all;

process.on('message', (message) => {
  if (message === 'measure') {
    createMs.length = 0;
    events = 0;
    steadily(pollsPerSecond, poll);
    steadily(requestsPerSecond, () => ask(true));
  }
  if (message === 'stop') {
    isOver = true;
    const report: LoadReport = { createMs, pollMs, events, problems };
    process.send?.(report, () => process.exit(0));
  }
});
process.on('disconnect', () => process.exit(0));
