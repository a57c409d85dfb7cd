/** The chats, and the API, that the settings switch on. */
import path from 'node:path';
import { InboxPlatform } from '../bot/inbox.ts';
import type { BotOptions } from '../bot/main.ts';
import type { ChatPlatform } from '../bot/platform.ts';
import type { Config } from '../config.ts';
import { KinoraError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Lease } from '../queue/lease.ts';
import type { RedisAddress } from '../queue/redis.ts';
import type { ShardLeases } from '../queue/shard-leases.ts';

/** The port of the API with "kinora start", where no other is set. */
export const usualWebPort = 7080;

/**
 * @param webPort of the API, 0 for none
 * @throws KinoraError INVALID_CONFIG when there is none
 */
export function assertSomeChat({ inboxFolder, discord, telegram, web }: Config, webPort = web.port): void {
  if (inboxFolder !== undefined || discord || telegram || webPort) return;
  throw new KinoraError(
    'INVALID_CONFIG',
    'There is nothing to take requests from: set KINORA_DISCORD_TOKEN, KINORA_TELEGRAM_TOKEN, KINORA_INBOX or KINORA_WEB_PORT.',
  );
}

/** Also of a chat that is switched off now. */
export const forgetUpdates: NonNullable<BotOptions['forgetUpdates']> = async (...args) => {
  const telegram = await import('../bot/telegram/forget-updates.ts');
  await telegram.forgetUpdates(...args);
};

/** What a bot asks before it says anything to a chat. */
export interface Leases {
  readonly lease: Lease;
  /** Where several bots share Discord. */
  readonly shards: ShardLeases | undefined;
  /** With shards: called when Discord refuses this bot, and may take another. */
  readonly onRefused: (() => void) | undefined;
}

/** Where bots share Discord, one that leads or did so asks both. */
export async function mayActInDiscord(lease: Lease, shards: ShardLeases | undefined): Promise<boolean> {
  if (shards && !(await shards.mayAct())) return false;
  return shards && !lease.hasBegun ? true : await lease.mayAct();
}

/** Loads the libraries of these chats only. */
export async function platformsOf(
  config: Config,
  redis: RedisAddress,
  { lease, shards, onRefused }: Leases,
  log: Logger,
): Promise<ChatPlatform[]> {
  const { dataDir: dataFolder, ffmpegPath, discord, telegram, web, proxies } = config;
  if (proxies.https ?? proxies.http ?? proxies.all) {
    const { useProxies } = await import('../bot/proxies.ts');
    useProxies(proxies);
  }
  const platforms: ChatPlatform[] = [];
  const common = { dataFolder, ffmpegPath, mayAct: () => lease.mayAct(), log };
  if (config.inboxFolder !== undefined) {
    const say = (line: string): void => void process.stderr.write(`${line}\n`);
    const recordsFile = path.join(dataFolder, 'inbox.json');
    platforms.push(new InboxPlatform(config.inboxFolder, log, { recordsFile, say }));
  }
  if (discord) {
    const { DiscordPlatform } = await import('../bot/discord/adapter.ts');
    const mayAct = async (): Promise<boolean> => await mayActInDiscord(lease, shards);
    platforms.push(new DiscordPlatform({ ...discord, ...common, shards, onRefused, mayAct }));
  }
  if (telegram) {
    const { TelegramPlatform } = await import('../bot/telegram/adapter.ts');
    platforms.push(new TelegramPlatform({ ...telegram, ...common, isFollowed: () => lease.isFollowed }));
  }
  if (web.port) {
    const { WebPlatform } = await import('../web/platform.ts');
    const { host, port, publicUrl, mayCallPrivate: mayBePrivate } = web;
    const { shortcuts } = config;
    platforms.push(
      new WebPlatform({
        ...{ host, port, publicUrl, redis, shortcuts, dataFolder, log },
        outgoing: { mayBePrivate, proxies },
      }),
    );
  }
  return platforms;
}
