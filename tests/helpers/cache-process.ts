/**
 * A process that uses a latent cache hard, for latent-cache.test.ts: writes and reads entries whose numbers follow from
 * their index, until the time is up and each counter that is named has moved, so that a busy machine only takes longer.
 * Prints its counters; exits with 1 when it was ever given wrong numbers.
 */
import { LatentCache } from '../../src/inference/latent-cache.ts';

const [folder = '', diskBytes = '0', runMs = '0', ...awaited] = process.argv.slice(2);
const length = 4000;

const keyOf = (index: number): string => LatentCache.key('image', 'shared', index);
const numberAt = (index: number, i: number): number => index * 10 + (i % 7);

const cache = new LatentCache({ folder, memoryBytes: 0, diskBytes: Number(diskBytes) });
process.stdout.write('started\n');
const until = performance.now() + Number(runMs);
let wrong = 0;
const isWaiting = (): boolean =>
  Object.entries(cache.counters).some(([name, count]) => awaited.includes(name) && count === 0);
for (let turn = 0; performance.now() < until || isWaiting(); turn++) {
  // Every other time the entry of the turn before: others may remove it meanwhile, but not always.
  const index = (Math.ceil(turn / 2) * 7 + process.pid) % 40;
  const entry = await cache.get(keyOf(index));
  if (entry) {
    const data = entry.tensors['moments']?.data;
    if (data?.length !== length || data.some((x, i) => x !== numberAt(index, i))) wrong++;
  } else {
    const data = Float32Array.from({ length }, (_, i) => numberAt(index, i));
    cache.set(keyOf(index), { tensors: { moments: { data, dims: [1, length] } } });
  }
  if (turn % 5 === 0) await cache.flush();
}
await cache.flush();
process.stdout.write(`${JSON.stringify({ wrong, ...cache.counters })}\n`);
process.exitCode = wrong > 0 ? 1 : 0;
