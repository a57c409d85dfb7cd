/**
 * The bot of one platform in a process of its own, for tests that kill it. Takes its settings as JSON in the first
 * argument and prints "ready"; where there may be several, "stands by" and "leads" before that.
 */
import { join } from 'node:path';
import { DiscordPlatform } from '../../src/bot/discord/adapter.ts';
import { startBot } from '../../src/bot/main.ts';
import { Models } from '../../src/bot/models.ts';
import { TelegramPlatform } from '../../src/bot/telegram/adapter.ts';
import { createLogger } from '../../src/log.ts';
import { Keys } from '../../src/queue/keys.ts';
import { Lease } from '../../src/queue/lease.ts';
import { connectRedis, type RedisAddress } from '../../src/queue/redis.ts';
import { FolderStorage } from '../../src/storage/folder-storage.ts';
import { openTerms } from './queue-harness.ts';

export interface BotProcessSettings {
  readonly platform: 'discord' | 'telegram';
  readonly token: string;
  /** Address of the fake server. */
  readonly server: string;
  readonly address: RedisAddress;
  /** One of several, of which one leads, as the command `kinora bot` is. */
  readonly isOneOfSeveral?: boolean;
  /** Folder of the platform's own files. */
  readonly dataFolder: string;
  readonly folder: string;
  readonly ffmpegPath: string;
}

const settings: BotProcessSettings = JSON.parse(process.argv[2] ?? '{}');
const { platform, token, server, address, dataFolder, folder, ffmpegPath } = settings;
const log = createLogger('bot', 'debug', { write: (line: string) => process.stderr.write(line) });

async function lead(): Promise<Lease> {
  const lease = new Lease(
    connectRedis(address, 'fail-fast', () => {}),
    new Keys(),
    log,
  );
  const ending = new AbortController();
  const stand = async () => void process.stdout.write('stands by\n');
  await lease.lead(ending.signal, stand, () => process.exit(1));
  process.stdout.write('leads\n');
  return lease;
}

const lease = settings.isOneOfSeveral ? await lead() : undefined;
const mayAct = async () => (await lease?.mayAct()) ?? true;
const common = { token, log, dataFolder, ffmpegPath, mayAct };
const bot = await startBot({
  models: new Models(),
  address,
  mayAct,
  storage: new FolderStorage(join(folder, 'jobs')),
  terms: openTerms,
  jobFiles: { retentionMs: 86_400_000, budgetBytes: 1e9, minFreeBytes: 0 },
  expireAfterMs: 86_400_000,
  platforms: [
    platform === 'telegram'
      ? new TelegramPlatform({
          ...common,
          isFollowed: () => lease?.isFollowed ?? false,
          adminUserIds: [],
          apiRoot: server,
          shortestPauseMs: 50,
        })
      : new DiscordPlatform({
          ...common,
          adminUserIds: [],
          adminRoleIds: [],
          clientOptions: {
            rest: { api: `${server}/api`, cdn: server, timeout: 10_000 },
            ws: { buildIdentifyThrottler: () => ({ waitForIdentify: async () => {} }) },
          },
          pictureOrigins: [server],
          statusEveryMs: 60_000,
        }),
  ],
  log,
  cacheFolder: join(folder, 'cache'),
  ffmpegPath,
});
process.stdout.write('ready\n');
process.on('SIGTERM', async () => {
  await bot.stop();
  await lease?.leave();
  process.exit(0);
});
