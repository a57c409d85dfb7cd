/**
 * The bot of one platform in a process of its own, for tests that kill it. Takes its settings as JSON in the first
 * argument and prints "ready"; where there may be several, "stands by" and "leads" before that, and "serves" where they share
 * Discord.
 */
import { join } from 'node:path';
import { DiscordPlatform } from '../../src/bot/discord/adapter.ts';
import { openBot } from '../../src/bot/main.ts';
import { Models } from '../../src/bot/models.ts';
import { TelegramPlatform } from '../../src/bot/telegram/adapter.ts';
import { mayActInDiscord } from '../../src/commands/chats.ts';
import { createLogger } from '../../src/log.ts';
import { Keys } from '../../src/queue/keys.ts';
import { Lease } from '../../src/queue/lease.ts';
import { connectRedis, type RedisAddress } from '../../src/queue/redis.ts';
import { ShardLeases } from '../../src/queue/shard-leases.ts';
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
  /** Of Discord, which the bots share. */
  readonly shards?: number;
  /** Folder of the platform's own files. */
  readonly dataFolder: string;
  readonly folder: string;
  readonly ffmpegPath: string;
}

const settings: BotProcessSettings = JSON.parse(process.argv[2] ?? '{}');
const { platform, token, server, address, dataFolder, folder, ffmpegPath } = settings;
const log = createLogger('bot', 'debug', { write: (line: string) => process.stderr.write(line) });

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const connection = () => connectRedis(address, 'fail-fast', () => {});
const end = () => process.exit(1);
const ending = new AbortController();
const count = settings.shards;
const lease = settings.isOneOfSeveral ? new Lease(connection(), new Keys(), log, count) : undefined;
const shards =
  lease && count !== undefined
    ? new ShardLeases(
        connection(),
        new Keys(),
        log,
        { count, probationMs: 500, botId: lease.id, isAlone: () => !lease.isFollowed },
        end,
      )
    : undefined;

async function leads(): Promise<boolean> {
  const hasBegun = (await lease?.lead(ending.signal, async () => say('stands by'), end)) ?? true;
  if (lease && hasBegun) say('leads');
  return hasBegun;
}

const leave = async () => await Promise.all([lease?.leave(), shards?.leave()]);
const leading = leads();
if (!shards) await leading;
const mayAct = async () => (await lease?.mayAct()) ?? true;
const common = { token, log, dataFolder, ffmpegPath, mayAct };
const bot = await openBot({
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
          shards,
          mayAct: async () => !lease || (await mayActInDiscord(lease, shards)),
          onRefused: () => void leave().finally(() => process.exit(2)),
          adminUserIds: [],
          adminRoleIds: [],
          clientOptions: {
            rest: { api: `${server}/api`, cdn: server, timeout: 10_000 },
            // Shards keep the pace that Redis gives.
            ...(shards
              ? {}
              : { ws: { buildIdentifyThrottler: () => ({ waitForIdentify: async () => {} }) } }),
          },
          pictureOrigins: [server],
          statusEveryMs: 60_000,
        }),
  ],
  log,
  cacheFolder: join(folder, 'cache'),
  ffmpegPath,
});
process.on('SIGTERM', async () => {
  ending.abort();
  await bot.stop();
  await leave();
  process.exit(0);
});
if (shards) say('serves');
if (await leading) {
  await bot.lead();
  say('ready');
}
