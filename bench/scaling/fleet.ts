/** One day of people and GPUs: discrete events, one process, no Redis. */
import { Heap } from './heap.ts';
import type { Job, Queue } from './queues.ts';
import { exponential, random } from './random.ts';
import { drawGap, drawPreset, drawRequests, drawTimeOfDay, type Preset } from './traffic.ts';

export interface Fleet {
  readonly gpus: number;
  /** People who ask for something on this day. */
  readonly people: number;
  /** Of these: the share that sends fifty requests at once, as a script over the API does. */
  readonly bulk: number;
  /** Jobs that one person may have waiting or running (KINORA_USER_LIMIT); who has as many asks again when one is made. */
  readonly userLimit: number;
  /** Hours between two failures of one GPU, and what comes back: a process within half a minute, or a machine later. */
  readonly hoursBetweenFailures: number;
  readonly machineShare: number;
  readonly machineAwayHours: number;
  /** That many GPUs are gone for an hour when most is asked for: a rack, a region. */
  readonly outage?: number;
}

export interface Request extends Job {
  readonly preset: Preset;
  readonly askedAt: number;
  startedAt: number;
}

export interface Waits {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export interface Day {
  /** Requests within the day. */
  readonly asked: number;
  readonly clips: number;
  /** Seconds from a request to the start of the run that made its clip. */
  readonly waits: Waits;
  /** Of those who asked for one or two clips, and of those who sent fifty at once. */
  readonly fewWaits: Waits;
  readonly bulkWaits: Waits;
  readonly longestQueue: number;
  /** Share of the GPUs' time in which they made clips that were delivered. */
  readonly busy: number;
  readonly failures: number;
  /** Jobs that were begun again since their GPU failed. */
  readonly repeated: number;
}

const daySeconds = 86_400;
/** The busiest hour of the trace begins then. */
const busiestSecond = 16 * 3600;
const bulkRequests = 50;
/** Until a lost job is taken back; assumed, as the worker's reclaimer needs about 20 s. */
const noticedAfterSeconds = 30;
const processAwaySeconds = 30;

interface Person {
  left: number;
  active: number;
  /** Wants to ask, but has as many jobs as allowed. */
  isHeldBack: boolean;
  readonly kind: 'few' | 'many' | 'bulk';
}

interface Gpu {
  request: Request | undefined;
  isUp: boolean;
  /** It is in the list of idle ones, perhaps since before it failed. */
  isListed: boolean;
}

type Event =
  | { readonly at: number; readonly kind: 'ask'; readonly user: number }
  | { readonly at: number; readonly kind: 'made'; readonly gpu: Gpu; readonly request: Request }
  | { readonly at: number; readonly kind: 'failure' | 'outage' | 'back'; readonly gpu: Gpu }
  | { readonly at: number; readonly kind: 'noticed'; readonly request: Request };

export function waitsOf(seconds: number[]): Waits {
  const sorted = Float64Array.from(seconds).sort();
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}

/** Runs one day, and on until everything that was asked for in it is made. */
export function simulate(fleet: Fleet, queue: Queue<Request>): Day {
  const events = new Heap<Event>((a, b) => a.at < b.at);
  const gpus: Gpu[] = Array.from({ length: fleet.gpus }, () => ({
    request: undefined,
    isUp: true,
    isListed: false,
  }));
  const idle: Gpu[] = [];
  const rest = (gpu: Gpu): void => {
    if (!gpu.isListed) idle.push(gpu);
    gpu.isListed = true;
  };
  for (const gpu of gpus) rest(gpu);
  const people: Person[] = [];
  const waits = { few: [] as number[], many: [] as number[], bulk: [] as number[] };
  let [asked, made, busySeconds, failures, repeated, longestQueue, open] = [0, 0, 0, 0, 0, 0, 0];

  for (let user = 0; user < fleet.people; user++) {
    const isBulk = random() < fleet.bulk;
    const left = isBulk ? bulkRequests : drawRequests();
    people.push({ left, active: 0, isHeldBack: false, kind: isBulk ? 'bulk' : left <= 2 ? 'few' : 'many' });
    open += left;
    events.push({ at: drawTimeOfDay(), kind: 'ask', user });
  }
  const failAfter = (at: number, gpu: Gpu): void =>
    events.push({ at: at + exponential(fleet.hoursBetweenFailures * 3600), kind: 'failure', gpu });
  for (const gpu of gpus) failAfter(0, gpu);

  const serve = (now: number): void => {
    while (idle.length > 0 && queue.waiting > 0) {
      const gpu = idle.pop();
      if (!gpu) break;
      gpu.isListed = false;
      if (!gpu.isUp) continue;
      const request = queue.take();
      if (!request) break;
      gpu.request = request;
      request.startedAt = now;
      events.push({ at: now + request.preset.seconds, kind: 'made', gpu, request });
    }
    longestQueue = Math.max(longestQueue, queue.waiting);
  };
  const ask = (now: number, user: number): void => {
    const person = people[user];
    if (!person) return;
    if (now > daySeconds) {
      open -= person.left;
      person.left = 0;
    }
    while (person.left > 0) {
      if (person.active >= fleet.userLimit) {
        person.isHeldBack = true;
        return;
      }
      person.left -= 1;
      person.active += 1;
      asked += 1;
      const preset = drawPreset();
      queue.add({ user, credits: preset.credits, preset, askedAt: now, startedAt: 0, tag: 0, sequence: 0 });
      if (person.kind !== 'bulk') break;
    }
    if (person.left > 0) events.push({ at: now + drawGap(), kind: 'ask', user });
  };
  const finish = (now: number, { gpu, request }: Event & { kind: 'made' }): void => {
    if (gpu.request !== request) return; // it failed before
    gpu.request = undefined;
    rest(gpu);
    queue.finish();
    made += 1;
    open -= 1;
    if (now <= daySeconds) busySeconds += request.preset.seconds;
    const person = people[request.user];
    if (!person) return;
    waits[person.kind].push(request.startedAt - request.askedAt);
    person.active -= 1;
    if (person.isHeldBack) {
      person.isHeldBack = false;
      ask(now, request.user);
    }
  };
  /** @param away seconds until it is back */
  const fail = (now: number, gpu: Gpu, away: number): void => {
    if (!gpu.isUp) return;
    failures += 1;
    gpu.isUp = false;
    if (gpu.request) {
      repeated += 1;
      events.push({ at: now + noticedAfterSeconds, kind: 'noticed', request: gpu.request });
      gpu.request = undefined;
    }
    events.push({ at: now + away, kind: 'back', gpu });
  };

  for (const gpu of gpus.slice(0, fleet.outage ?? 0)) events.push({ at: busiestSecond, kind: 'outage', gpu });

  let now = 0;
  for (let event = events.pop(); event && open > 0; event = events.pop()) {
    now = event.at;
    if (event.kind === 'ask') ask(now, event.user);
    else if (event.kind === 'made') finish(now, event);
    else if (event.kind === 'noticed') queue.handBack(event.request);
    else if (event.kind === 'outage') fail(now, event.gpu, 3600);
    else if (event.kind === 'failure') {
      fail(
        now,
        event.gpu,
        random() < fleet.machineShare ? fleet.machineAwayHours * 3600 : processAwaySeconds,
      );
      failAfter(now, event.gpu);
    } else {
      event.gpu.isUp = true;
      rest(event.gpu);
    }
    serve(now);
  }
  return {
    asked,
    clips: made,
    waits: waitsOf([...waits.few, ...waits.many, ...waits.bulk]),
    fewWaits: waitsOf(waits.few),
    bulkWaits: waitsOf(waits.bulk),
    longestQueue,
    busy: busySeconds / (fleet.gpus * daySeconds),
    failures,
    repeated,
  };
}
