/** The check of the bucket, where one is set: what Kinora does there is done once. */
import { randomUUID } from 'node:crypto';
import type { Config } from '../../config.ts';
import { fileNames } from '../../queue/job-files.ts';
import { openStorage } from '../storage.ts';
import { type Check, failedCheck } from './check.ts';

/** Requests are refused from a quarter of an hour on. */
const skewSeconds = 60;

/** A folder is the disk's check. */
export async function checkStorage(config: Pick<Config, 'storage' | 'jobsFolder'>): Promise<Check[]> {
  if (!config.storage) return [];
  const name = 'storage';
  const folder = `doctor-${randomUUID()}`;
  // With a name of a job's file, so that what a killed check leaves goes in time.
  const place = { folder, name: fileNames.image };
  try {
    const storage = await openStorage(config);
    const written = randomUUID();
    const before = Date.now();
    await storage.put(place, written);
    const read = (await storage.read(place))?.toString();
    const { modifiedMs = before } = (await storage.head(place)) ?? {};
    const isListed = (await storage.look(folder)) !== undefined;
    await storage.remove(folder);
    if (read !== written || !isListed || (await storage.look(folder))) {
      const detail = 'what is put into the bucket is not what is in it afterwards';
      return [{ name, state: 'fail', detail, remedy: 'Use a service that shows at once what was put.' }];
    }
    const ahead = Math.round((before - modifiedMs) / 1000);
    const where = storage.location('').replace(/\/$/, '');
    if (Math.abs(ahead) < skewSeconds) {
      return [{ name, state: 'ok', detail: `${where} can be written, read, listed and deleted from` }];
    }
    const detail = `this machine's clock is ${Math.abs(ahead)} s ${ahead > 0 ? 'ahead of' : 'behind'} that of ${where}`;
    return [{ name, state: 'warn', detail, remedy: 'Set its clock, best by NTP.' }];
  } catch (error) {
    return [failedCheck(name, error)];
  }
}
