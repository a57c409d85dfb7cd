/**
 * A worker whose engine only counts: it tells of its steps like a real one and leaves the two cores to what is measured.
 * Arguments: socket path, folder of the jobs, ms per job. Sends "serving" when it serves.
 */
import { Artifacts } from '../../src/queue/artifacts.ts';
import { connectRedis } from '../../src/queue/redis.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import { JobWorker } from '../../src/worker/worker.ts';
import { log, timedGenerator } from '../../tests/helpers/queue-harness.ts';

const [socketPath = '', folder = '', ms = '0'] = process.argv.slice(2);
const redis = connectRedis({ socketPath }, 'patient', () => {});
const worker = new JobWorker(
  redis,
  new Artifacts(new FolderStorage(folder)),
  timedGenerator(Number(ms)),
  log,
);
await worker.start();
process.send?.('serving');
process.on('disconnect', () => process.exit(0));
