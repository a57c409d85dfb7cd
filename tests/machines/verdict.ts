/** Whether all promises were kept, once everybody has been answered: what people saw, what Redis and the bucket hold. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import ffprobe from '@ffprobe-installer/ffprobe';
import { z } from 'zod';
import { en } from '../../src/bot/sentences/en.ts';
import { readAnswerPlace } from '../../src/bot/telegram/delivery.ts';
import { Ledger, type LedgerEntry } from '../../src/queue/ledger.ts';
import { judgeAnswers } from '../chaos/judge.ts';
import { judgeClients } from '../chaos/web-chaos.ts';
import type { FakeMessage } from '../fakes/telegram/message.ts';
import makeExecutable from '../helpers/executable-ffprobe.ts';
import type { Posted } from '../helpers/queue-harness.ts';
import type { Crowd } from './crowd.ts';
import type { Installation } from './installation.ts';

export interface Verdict {
  readonly jobs: number;
  readonly videos: number;
  /** Requests in chats that were told that the queue, or the storage, cannot be reached. */
  readonly refused: number;
  /** First messages in chats that were left behind by bots that died while they posted them. */
  readonly orphans: number;
  /** Runs beyond the first of a job: work that the fault cost. */
  readonly repeatedRuns: number;
  /** Calls of the API that got no answer, or one of 500 and above. */
  readonly unanswered: number;
  /** Broken promises; empty when all is well. */
  readonly violations: readonly string[];
}

const run = promisify(execFile);
/** By which a request is refused that nothing was accepted of. */
const refusals = [en.refusal.unavailable, en.failure({ code: 'STORAGE_FAILED', message: '' })];
const probeSchema = z.object({
  streams: z.tuple([z.object({ nb_frames: z.coerce.number(), nb_read_frames: z.coerce.number() })]),
});

export async function judge(installation: Installation, crowd: Crowd): Promise<Verdict> {
  const { redis, keys } = installation;
  const entries = await allEntries(installation);
  const inChats = entries.filter(({ request }) => request.userKey.startsWith('telegram:'));
  const chats = postsOf(crowd, inChats);
  const accepted = new Map(inChats.map(({ id, request }) => [id, request.userKey]));
  const books = {
    redis,
    keys,
    posted: chats.posted,
    creditsUsed: (user: string) => creditsOf(installation, user),
  };
  const answers = await judgeAnswers(books, { accepted, unavailable: new Set(), engineFaults: new Map() });
  const clients = await judgeClients(crowd.web, redis);
  const videos = entries.filter(({ artifact }) => artifact !== undefined);
  return {
    jobs: entries.length,
    videos: videos.length,
    refused: chats.refused,
    orphans: chats.orphans,
    repeatedRuns: entries.reduce((sum, { starts }) => sum + starts - 1, 0),
    unanswered: crowd.web.reduce((sum, { unanswered }) => sum + unanswered, 0),
    violations: [
      ...chats.violations,
      ...answers.violations,
      ...clients.violations,
      ...(await leftovers(installation, videos.length)),
      ...(await brokenVideos(installation, videos)),
    ],
  };
}

async function allEntries({ redis, keys }: Installation): Promise<LedgerEntry[]> {
  const ledger = new Ledger(redis, keys);
  const names = await redis.keys(keys.job('*'));
  const found = await Promise.all(names.map((name) => ledger.read(name.slice(keys.job('').length))));
  // Withdrawn: its person was told that it was not accepted.
  return found.flatMap((entry) => (entry && !entry.isWithdrawn ? [entry] : []));
}

/** What was said to each photo: one message, which has become the video of its job. */
function postsOf(crowd: Crowd, entries: readonly LedgerEntry[]) {
  const posted: Posted[] = [];
  const violations: string[] = [];
  let refused = 0;
  let orphans = 0;
  const jobOf = new Map(
    entries.map(({ id, request }) => {
      const { chatId, requestId } = readAnswerPlace(request.replyTo);
      return [`${chatId} ${requestId}`, id];
    }),
  );
  for (const photo of crowd.sent) {
    const name = `photo ${photo.id} of ${photo.chat.name}`;
    const jobId = jobOf.get(`${photo.chat.id} ${photo.id}`);
    // A bot that dies while its first message is on the way does not know of it, and posts another.
    const isOrphan = ({ video, text }: FakeMessage): boolean => !video && text === en.status.encoding;
    const all = crowd.answersTo(photo);
    const said = all.every(isOrphan) ? all : all.filter((message) => !isOrphan(message));
    orphans += all.length - said.length;
    const texts = said.map(({ text }) => JSON.stringify(text)).join(', ');
    if (said.length !== 1) violations.push(`${name} has ${said.length} answers: ${texts}`);
    for (const { video, text } of said) {
      if (video) posted.push({ jobId: jobId ?? name, kind: 'video' });
      else if (jobId !== undefined) violations.push(`${jobId} of ${name} was answered by ${texts}`);
      else if (refusals.includes(text)) refused++;
      else violations.push(`${name} was not accepted, and told ${texts}`);
    }
  }
  return { posted, refused, orphans, violations };
}

async function creditsOf({ redis, keys }: Installation, userKey: string): Promise<number> {
  const days = await redis.keys(keys.used('*'));
  const used = await Promise.all(days.map(async (day) => Number(await redis.hget(day, userKey))));
  return used.reduce((sum, credits) => sum + credits, 0);
}

/** Locks and places that nobody gave back, and answers that were counted more or less than once. */
async function leftovers({ redis, keys }: Installation, videos: number): Promise<string[]> {
  const violations = (await redis.keys(`${keys.bull}:*:lock`)).map((lock) => `${lock} is held`);
  for (const list of await redis.keys(`${keys.bull}:*:active`)) {
    for (const jobId of await redis.lrange(list, 0, -1)) violations.push(`${jobId} is left in ${list}`);
  }
  for (const jobId of await redis.smembers(keys.active('all')))
    violations.push(`${jobId} still holds a place`);
  const endings = await redis.hgetall(keys.endings);
  const delivered = Number(endings['delivered'] ?? 0);
  if (delivered !== videos) violations.push(`${videos} videos were delivered ${delivered} times`);
  return violations;
}

/** Every video in the bucket, from the first frame to the last. */
async function brokenVideos({ artifacts }: Installation, entries: readonly LedgerEntry[]): Promise<string[]> {
  makeExecutable();
  const violations: string[] = [];
  for (const { id, artifact } of entries) {
    const { files, close } = await artifacts.open(id, ['video']);
    try {
      const args = ['-v', 'error', '-of', 'json', '-count_frames', '-show_streams', files.video];
      const { stdout } = await run(ffprobe.path, args);
      const [stream] = probeSchema.parse(JSON.parse(stdout)).streams;
      if (stream.nb_read_frames !== artifact?.numFrames) {
        violations.push(`${id} has ${stream.nb_read_frames} of ${artifact?.numFrames} frames`);
      }
    } catch (error) {
      violations.push(`${id} is no video: ${error}`);
    } finally {
      await close();
    }
  }
  return violations;
}
