/**
 * The bot with the HTTP API in a process of its own, for tests that kill it. Arguments: socket path and folder. Prints
 * its address.
 */
import { join } from 'node:path';
import { startBot } from '../../src/bot/main.ts';
import { WebPlatform } from '../../src/web/platform.ts';
import { log, openTerms } from './queue-harness.ts';

const [socketPath = '', folder = ''] = process.argv.slice(2);
const web = new WebPlatform({
  ...{
    host: '127.0.0.1',
    port: 0,
    redis: { socketPath },
    dataFolder: folder,
    outgoing: { mayBePrivate: false },
    log,
  },
});
await startBot({
  address: { socketPath },
  jobsFolder: join(folder, 'jobs'),
  cacheFolder: join(folder, 'cache'),
  terms: openTerms,
  jobFiles: { retentionMs: 86_400_000, budgetBytes: 1e9, minFreeBytes: 0 },
  expireAfterMs: 86_400_000,
  platforms: [web],
  ffmpegPath: 'ffmpeg',
  log,
});
process.stdout.write(web.address);
