// The image's HEALTHCHECK: whether requests are taken and made. A worker alone, and a bot without KINORA_WEB_PORT, have no
// page to ask: they count as healthy while they live, since the container ends with them. Which command runs is in the
// arguments of process 1: tini -- node /app/src/kinora.mjs worker.
import { readFileSync } from 'node:fs';

const args = readFileSync('/proc/1/cmdline', 'utf8').split('\0');
const command = args[args.findIndex((argument) => /(^|\/)kinora(\.mjs)?$/.test(argument)) + 1];
const port = process.env['KINORA_WEB_PORT'] || (command === 'bot' ? '0' : '7080');
if (command !== 'worker' && port !== '0') {
  const answer = await fetch(`http://127.0.0.1:${port}/ready`).catch(() => undefined);
  // A bot that stands by is as it should be.
  const isHealthy = answer?.ok || (await answer?.json().catch(() => undefined))?.status === 'standing_by';
  process.exitCode = isHealthy ? 0 : 1;
}
