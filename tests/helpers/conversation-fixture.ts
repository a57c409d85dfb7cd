/** A conversation on a real Redis, with a worker whose generations are quick copies of one real clip. */
import { copyFile, mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AdminTools } from '../../src/bot/admin/commands.ts';
import { RuleBook } from '../../src/bot/admin/rules.ts';
import { type Ask, Conversation, type Person, type Place } from '../../src/bot/conversation.ts';
import type { JobClient, QueueTerms } from '../../src/queue/client.ts';
import { RuleStore } from '../../src/queue/community-rules.ts';
import type { Artifact } from '../../src/queue/jobs.ts';
import type { LedgerEntry } from '../../src/queue/ledger.ts';
import { encodeVideo } from '../../src/video/encode.ts';
import type { Generate } from '../../src/worker/worker.ts';
import { adminTools } from './admin-tools.ts';
import { artifactOf, eventually, Harness, log, openTerms } from './queue-harness.ts';
import { ffmpegPath, texture } from './video-fixture.ts';

export const pictureBytes = async (name = 'grey.jpg'): Promise<Uint8Array> =>
  await readFile(fileURLToPath(new URL(`../fixtures/pictures/${name}`, import.meta.url)));

export const ann: Person = { userKey: 'test:ann', roleKeys: [], locale: 'en-US', isAdmin: false };
export const bob: Person = { ...ann, userKey: 'test:bob' };
export const root: Person = { ...ann, userKey: 'test:root', isAdmin: true };
export const mei: Person = { ...ann, userKey: 'test:mei', locale: 'zh-CN' };
export const here: Place = { communityKey: 'test:here', maxBytes: 10_000_000 };

export class Talk {
  readonly harness: Harness;
  readonly client: JobClient;
  readonly admin: AdminTools;
  readonly conversation: Conversation;
  /** What the next generations report besides their own. */
  report: Partial<Artifact> = {};
  readonly #clip: string;

  private constructor(harness: Harness, terms: Partial<QueueTerms>, clip: string) {
    this.harness = harness;
    this.#clip = clip;
    this.client = harness.client(terms);
    const redis = harness.server.failFast();
    this.admin = adminTools(redis, this.client, { ...openTerms, ...terms });
    const { artifacts, folder } = harness;
    const day = openTerms.day;
    const cacheFolder = join(folder, 'cache');
    const settings = { lookEveryMs: 20, cacheSettlesMs: 20 };
    this.conversation = new Conversation({
      client: this.client,
      artifacts,
      admin: this.admin,
      rules: new RuleBook(new RuleStore(this.admin.trail)),
      forget: { redis, client: this.client, artifacts, cacheFolder, day, log, settings },
      ffmpegPath,
      retentionDays: 30,
      log,
    });
  }

  static async start(terms: Partial<QueueTerms> = {}, ...redisArguments: string[]): Promise<Talk> {
    const harness = await Harness.start(...redisArguments);
    const clip = join(harness.folder, 'clip.mp4');
    await mkdir(join(harness.folder, 'cache'));
    const shape = { width: 64, height: 64, fps: 8 };
    await encodeVideo(texture(8, 64, 64), { ...shape, outPath: clip, ffmpegPath });
    return new Talk(harness, terms, clip);
  }

  /** Generations are a copy of the clip and whatever `report` says. */
  generate: Generate = async (entry, files) => {
    await copyFile(this.#clip, files.video);
    return { ...artifactOf(entry, (await stat(files.video)).size), ...this.report };
  };

  async ask(jobId: string, over: Partial<Ask> = {}) {
    const picture = over.picture ?? (await pictureBytes());
    const options = { prompt: 'waves rolling', ...over.options };
    const ask = { jobId, person: ann, place: here, replyTo: { chat: 1 }, ...over, picture, options };
    return await this.conversation.ask(ask);
  }

  /** The entry of a job whose answer has been delivered. */
  async delivered(jobId: string): Promise<LedgerEntry> {
    await eventually(`${jobId} is delivered`, async () => {
      return (await this.client.ledger.read(jobId))?.deliveredAt !== undefined;
    });
    return await this.entry(jobId);
  }

  async entry(jobId: string): Promise<LedgerEntry> {
    const entry = await this.client.ledger.read(jobId);
    if (!entry) throw new Error(`${jobId} is not in the ledger`);
    return entry;
  }

  async stop(): Promise<void> {
    await this.admin.mode.close();
    await this.harness.stop();
  }
}
