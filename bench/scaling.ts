/**
 * `npm run bench:scaling`: a simulated day of up to 10 million accounts before up to a thousand GPUs. How long do people
 * wait, is it fair, and what does a clip cost? docs/scaling.md says what the tables mean. The queue itself is measured
 * by `npm run bench:queue -- --only requests --waiting 1000000`.
 *
 * Options: --active SHARE of accounts that ask for something on a day · --price DOLLARS of one GPU for an hour ·
 * --largest ACCOUNTS · --save (tables go to bench/results instead of out/bench)
 */
import { parseArgs } from 'node:util';
import { environmentLine, printTable, type Row, tablesFolder, writeCsv } from './report.ts';
import { type Fleet, type Request, simulate } from './scaling/fleet.ts';
import { FairQueue, PlainQueue } from './scaling/queues.ts';
import { seedRandom } from './scaling/random.ts';
import { meanSeconds } from './scaling/traffic.ts';

const { values } = parseArgs({
  options: {
    active: { type: 'string', default: '0.05' },
    price: { type: 'string', default: '2.5' },
    largest: { type: 'string', default: '10000000' },
    save: { type: 'boolean', default: false },
  },
});
const active = Number(values.active);
const price = Number(values.price);
const tables = tablesFolder(values.save);
/** A process dies every 200 hours of a GPU; one failure in five takes the machine away for two hours. Assumptions. */
const failing = { hoursBetweenFailures: 200, machineShare: 0.2, machineAwayHours: 2 };
/** Mean of the trace, with the share below that sends fifty at once. */
const clipsPerPerson = 5.5;
const bulk = 0.002;

function fleetOf(accounts: number, gpus: number, over: Partial<Fleet> = {}): Fleet {
  return { gpus, people: Math.round(accounts * active), bulk, userLimit: 50, ...failing, ...over };
}

const seconds = (value: number): string => (Number.isNaN(value) ? '–' : value.toFixed(value < 10 ? 1 : 0));

/** GPUs from just more than the day's mean need to what the busiest hour needs. */
function sizes(): void {
  const rows: Row[] = [];
  for (const accounts of [1_000, 10_000, 100_000, 1_000_000, 10_000_000]) {
    if (accounts > Number(values.largest)) break;
    const need = (accounts * active * clipsPerPerson * meanSeconds) / 86_400;
    const counts = new Set([1.3, 1.8, 2.6, 3.5].map((factor) => Math.max(1, Math.ceil(need * factor))));
    for (const gpus of counts) {
      seedRandom(accounts + gpus);
      const day = simulate(fleetOf(accounts, gpus), new FairQueue());
      rows.push({
        accounts,
        GPUs: gpus,
        clips: day.clips,
        'busy %': (day.busy * 100).toFixed(0),
        'wait p50 s': seconds(day.waits.p50),
        'p95 s': seconds(day.waits.p95),
        'p99 s': seconds(day.waits.p99),
        'p95 of few clips s': seconds(day.fewWaits.p95),
        'p95 of fifty at once s': seconds(day.bulkWaits.p95),
        'longest queue': day.longestQueue,
        failures: day.failures,
        'begun again': day.repeated,
        '$ per 100 clips': ((gpus * 24 * price * 100) / day.clips).toFixed(2),
      });
    }
  }
  printTable(`A day, ${active * 100} % of the accounts active, a GPU at ${price} $ an hour`, rows);
  writeCsv(tables, 'scaling-sizes', rows);
}

/** The same day served in the order of arrival and in the fair order, the more people send fifty at once. */
function fairness(): void {
  const rows: Row[] = [];
  const accounts = Math.min(100_000, Number(values.largest));
  for (const share of [0, 0.002, 0.01]) {
    for (const order of ['arrival', 'fair'] as const) {
      seedRandom(7);
      const queue = order === 'fair' ? new FairQueue<Request>() : new PlainQueue<Request>();
      const gpus = Math.ceil(((accounts * active * (5.3 + 45 * share) * meanSeconds) / 86_400) * 2.6);
      const day = simulate(fleetOf(accounts, gpus, { bulk: share }), queue);
      rows.push({
        'sends fifty at once': `${share * 100} %`,
        GPUs: gpus,
        order,
        'p50 s': seconds(day.waits.p50),
        'few clips p95 s': seconds(day.fewWaits.p95),
        'few clips p99 s': seconds(day.fewWaits.p99),
        'few clips max s': seconds(day.fewWaits.max),
        'fifty at once p95 s': seconds(day.bulkWaits.p95),
      });
    }
  }
  printTable(`Who waits for whom: ${accounts} accounts`, rows);
  writeCsv(tables, 'scaling-fairness', rows);
}

/** Failures of all kinds, from none to a tenth of the GPUs gone for the busiest hour. */
function failures(): void {
  const rows: Row[] = [];
  const accounts = Math.min(1_000_000, Number(values.largest));
  const gpus = Math.ceil(((accounts * active * clipsPerPerson * meanSeconds) / 86_400) * 3);
  const cases: readonly (readonly [string, Partial<Fleet>])[] = [
    ['none', { hoursBetweenFailures: 1e9 }],
    ['each GPU every 200 h', {}],
    ['each GPU every 20 h', { hoursBetweenFailures: 20 }],
    ['each GPU every 2 h', { hoursBetweenFailures: 2 }],
    ['a tenth gone for the busiest hour', { outage: Math.ceil(gpus / 10) }],
    ['a half gone for the busiest hour', { outage: Math.ceil(gpus / 2) }],
  ];
  for (const [name, over] of cases) {
    seedRandom(11);
    const day = simulate(fleetOf(accounts, gpus, over), new FairQueue());
    rows.push({
      failures: name,
      count: day.failures,
      clips: day.clips,
      'not made': day.asked - day.clips,
      'begun again': day.repeated,
      'p50 s': seconds(day.waits.p50),
      'p95 s': seconds(day.waits.p95),
      'p99 s': seconds(day.waits.p99),
      'few clips p95 s': seconds(day.fewWaits.p95),
    });
  }
  printTable(`GPUs that fail: ${accounts} accounts, ${gpus} GPUs`, rows);
  writeCsv(tables, 'scaling-failures', rows);
}

process.stdout.write(`${environmentLine()}\n`);
fairness();
failures();
sizes();
