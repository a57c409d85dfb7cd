/**
 * The HTTP API under random kills: people ask, cancel, delete, listen and poll, while bot, worker and Redis are killed
 * with SIGKILL and started again. The processes are those of the command line, the engine is the real one with the
 * tiny pack. Afterwards every promise of the API is checked.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import { ApiKeys } from '../../src/queue/api-keys.ts';
import { Keys } from '../../src/queue/keys.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { type PartName, Parts, partNames } from './parts.ts';
import { seededRandom } from './random.ts';
import { type Known, WebClient } from './web-client.ts';

export interface WebChaosReport {
  readonly seed: number;
  readonly seconds: number;
  readonly kills: Readonly<Record<PartName, number>>;
  readonly requests: number;
  readonly completed: number;
  readonly cancelled: number;
  readonly deleted: number;
  /** Calls that got no answer, or one of 500 and above, and were made again. */
  readonly unanswered: number;
  /** Different states that were told, over all videos. */
  readonly statesTold: number;
  /** From a kill to the moment when the API is ready again, in ms, sorted. */
  readonly recoveriesMs: readonly number[];
  /** Broken promises; empty when all is well. */
  readonly violations: readonly string[];
}

const photo = await readFile(fileURLToPath(new URL('../fixtures/pictures/grey.jpg', import.meta.url)));
const picture = `data:image/jpeg;base64,${photo.toString('base64')}`;
const manyPeople = 8;
const lookEveryMs = 400;
/** Of a hundred requests 6 are cancelled, 6 deleted, and to 25 somebody listens. */
const shares = { cancelled: 0.06, deleted: 0.12, heard: 0.25 };
const settledWithinMs = 180_000;

class WebChaos {
  readonly #random: () => number;
  readonly #people: readonly WebClient[];
  readonly #doing: Promise<void>[] = [];
  #isOver = false;
  #requests = 0;

  private constructor(random: () => number, people: readonly WebClient[]) {
    this.#random = random;
    this.#people = people;
  }

  static async start(parts: Parts, random: () => number): Promise<WebChaos> {
    const apiKeys = new ApiKeys(parts.redis.connect());
    const people = Array.from({ length: manyPeople }, async (_, i) => {
      const { key, token } = await apiKeys.create({ name: `p${i}`, scopes: ['use'] });
      return new WebClient(() => parts.url, token, key.userKey);
    });
    const chaos = new WebChaos(random, await Promise.all(people));
    chaos.#doing.push(...chaos.#people.map((person) => chaos.#poll(person)));
    return chaos;
  }

  get videos(): readonly Known[] {
    return this.#people.flatMap(({ known }) => [...known.values()]);
  }

  get people(): readonly WebClient[] {
    return this.#people;
  }

  async #poll(person: WebClient): Promise<void> {
    while (!this.#isOver) {
      await person.browse();
      await sleep(lookEveryMs);
    }
  }

  /** Somebody asks within the next `withinMs`, and does with the video what people do. */
  request(withinMs: number): void {
    const n = this.#requests++;
    const person = this.#people[n % this.#people.length];
    if (!person) throw new Error('there are people');
    const delayMs = this.#random() * withinMs;
    const body = bodyOf(n, 2 + Math.floor(this.#random() * 4));
    const isHeard = this.#random() < shares.heard;
    const draw = this.#random();
    const fate = draw < shares.cancelled ? 'cancelled' : draw < shares.deleted ? 'deleted' : 'kept';
    const changedAfterMs = this.#random() * 8_000;
    const live = async (): Promise<void> => {
      await sleep(delayMs);
      const video = await person.ask({ key: `request-${n}`, body, isHeard, fate });
      const heard = isHeard ? person.listen(video) : undefined;
      if (fate !== 'kept') await sleep(changedAfterMs);
      if (fate === 'cancelled') await person.cancel(video);
      if (fate === 'deleted') await person.delete(video);
      await heard;
    };
    this.#doing.push(live());
  }

  /** Waits until every video has ended, and everybody who polls and listens with them. */
  async settled(): Promise<void> {
    const isEnded = ({ states, deletion }: Known): boolean =>
      deletion !== 'none' || states.at(-1) === 'completed' || states.at(-1) === 'failed';
    await eventually(
      'the end of all videos',
      () => this.#requests === this.videos.length && this.videos.every(isEnded),
      settledWithinMs,
    ).catch(() => {}); // the judge says which have none
    this.#isOver = true;
    const late = sleep(settledWithinMs, undefined, { ref: false });
    await Promise.race([Promise.all(this.#doing), late]);
  }
}

const bodyOf = (n: number, steps: number) => ({
  prompt: `zoom in ${n}`,
  input_reference: picture,
  size: '64',
  num_frames: 4,
  num_inference_steps: steps,
  seed: n,
});

export async function runWebChaos(
  { kills, requests, seed }: { readonly kills: number; readonly requests: number; readonly seed: number },
  say: (line: string) => void = () => {},
): Promise<WebChaosReport> {
  const startedAt = performance.now();
  const parts = await Parts.start();
  const killed: Record<PartName, number> = { bot: 0, worker: 0, Redis: 0 };
  const recoveriesMs: number[] = [];
  const random = seededRandom(seed);
  // A generator of its own: how often the other one is asked depends on time, and a seed must name the same kills.
  const randomKill = seededRandom(seed + 1);
  try {
    const chaos = await WebChaos.start(parts, random);
    for (let kill = 0, asked = 0; kill < kills; kill++) {
      for (; asked < (requests * (kill + 1)) / kills; asked++) chaos.request(4_000);
      await sleep(randomKill() * 2_000);
      const killedAt = performance.now();
      const name = await killOne(parts, randomKill);
      killed[name]++;
      // Mostly the next one falls when all serve again; sometimes while this one starts.
      if (randomKill() < 0.7) {
        await parts.ready();
        recoveriesMs.push(Math.round(performance.now() - killedAt));
      }
      const ended = chaos.videos.filter(({ states }) => states.at(-1) === 'completed').length;
      const seconds = Math.round((performance.now() - startedAt) / 1000);
      say(`${seconds} s ${kill + 1}/${kills} ${name}; ${ended}/${chaos.videos.length} completed`);
    }
    await parts.ready();
    await chaos.settled();
    const verdict = await judgeClients(chaos.people, parts.redis.connect());
    return {
      seed,
      seconds: Math.round((performance.now() - startedAt) / 1000),
      kills: killed,
      requests,
      unanswered: chaos.people.reduce((sum, { unanswered }) => sum + unanswered, 0),
      statesTold: chaos.videos.reduce((sum, { states }) => sum + states.length, 0),
      recoveriesMs: recoveriesMs.sort((a, b) => a - b),
      ...verdict,
      violations: [...parts.deaths, ...verdict.violations],
    };
  } finally {
    await parts.stop();
  }
}

async function killOne(parts: Parts, random: () => number): Promise<PartName> {
  const name = partNames[Math.floor(random() * partNames.length)] ?? 'bot';
  await parts.kill(name, random() * 500);
  return name;
}

/** Asks for everything once more, now that nothing is killed, and looks into the books. */
export async function judgeClients(people: readonly WebClient[], redis: Redis) {
  const violations: string[] = [];
  const count = { completed: 0, cancelled: 0, deleted: 0 };
  const keys = new Keys();
  const days = await redis.keys(keys.used('*'));
  for (const person of people) {
    const videos = [...person.known.values()];
    const kept = videos.filter(({ deletion }) => deletion === 'none');
    let owed = 0;
    for (const video of videos) {
      await person.repeat(video);
      const told = await person.look(video);
      if (video.deletion !== 'none') {
        count.deleted++;
        continue;
      }
      if (told?.status === 'completed') {
        count.completed++;
        owed += told.credits;
        const content = await person.contentOf(video);
        if (content !== video.content) violations.push(`${video.id} is another MP4 than before`);
      } else if (told?.error?.code === 'CANCELLED' && video.fate === 'cancelled') count.cancelled++;
      else violations.push(`${video.id} is ${told?.status}: ${told?.error?.message}`);
      if (video.wasCancelled && told?.status !== 'failed')
        violations.push(`${video.id} was cancelled in vain`);
      if (video.isHeard && video.heard !== told?.status) {
        violations.push(`${video.id} is ${told?.status}, and its events ended with ${video.heard}`);
      }
    }
    const listed = (await person.list()).sort();
    const wanted = kept.map(({ id }) => id).sort();
    if (listed.join() !== wanted.join()) violations.push(`listed are ${listed}, asked for were ${wanted}`);
    const used = await Promise.all(days.map(async (day) => Number(await redis.hget(day, person.userKey))));
    const paid = used.reduce((sum, credits) => sum + credits, 0);
    // One that was deleted may have been completed, and paid, before.
    const deleted = videos.filter(({ deletion }) => deletion !== 'none');
    const most = deleted.reduce((sum, { credits }) => sum + credits, owed);
    if (paid < owed || paid > most)
      violations.push(`${person.userKey} paid ${paid} instead of ${owed} to ${most}`);
    violations.push(...person.violations);
  }
  return { ...count, violations };
}
