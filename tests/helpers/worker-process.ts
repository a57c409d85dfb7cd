/**
 * A worker in a process of its own, for tests that kill or freeze it. Its generator spends the given time in blocking
 * slices, as native calls would in the engine's place, and appends "<jobId> <pid> <time>" to a log file for every run.
 * Arguments: JSON of Redis's address, job folder, milliseconds per job, run log, grace in ms at SIGTERM.
 */
import { appendFile } from 'node:fs/promises';
import { z } from 'zod';
import { Artifacts } from '../../src/queue/artifacts.ts';
import { Keys } from '../../src/queue/keys.ts';
import { connectRedis } from '../../src/queue/redis.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import { JobWorker } from '../../src/worker/worker.ts';
import { log, timedGenerator } from './queue-harness.ts';

const [address = '{}', folder = '', ms = '0', runLog = '', graceMs = '0'] = process.argv.slice(2);
const addressSchema = z.union([z.object({ url: z.string() }), z.object({ socketPath: z.string() })]);
const generate = timedGenerator(Number(ms));
const worker = new JobWorker(
  connectRedis(addressSchema.parse(JSON.parse(address)), 'patient', () => {}),
  new Artifacts(new FolderStorage(folder)),
  async (entry, files, hooks) => {
    await appendFile(runLog, `${entry.id} ${process.pid} ${Date.now()}\n`);
    return await generate(entry, files, hooks);
  },
  log,
  {},
  new Keys('t'),
);
await worker.start();
process.stdout.write('ready');
process.on('SIGTERM', () => void worker.stop(Number(graceMs)).then(() => process.exit(0)));
