/**
 * The bot process: chat platforms on one side, the queue on the other. Knows no platform by name.
 */
import { Artifacts } from '../queue/artifacts.ts';
import { JobClient, type QueueTerms } from '../queue/client.ts';
import { RuleStore } from '../queue/community-rules.ts';
import { Keys } from '../queue/keys.ts';
import { assertTrustworthy, connectRedis, type Redis, type RedisAddress } from '../queue/redis.ts';
import { claimSchema } from '../queue/schema.ts';
import { SignInLinks } from '../queue/sign-in-links.ts';
import type { Storage } from '../storage/storage.ts';
import { Account } from './account.ts';
import { Administration } from './admin/administration.ts';
import { RuleBook } from './admin/rules.ts';
import { type AdminTools, adminTools } from './admin/run-command.ts';
import { JobButtons } from './buttons.ts';
import { Leadership, type LeadershipOptions } from './leadership.ts';
import type { Models } from './models.ts';
import type { ChatPlatform, Services } from './platform.ts';
import { Requests } from './requests.ts';
import { StudioLinks } from './studio-links.ts';
import type { ForgetTools } from './upkeep/forget.ts';

export interface RunningBot {
  /** Takes no more requests, finishes the posts under way, and leaves the rest to the next start. */
  stop(): Promise<void>;
}

export interface BotOptions extends LeadershipOptions {
  readonly address: RedisAddress;
  /** Of the jobs' files, shared with the workers. */
  readonly storage: Storage;
  readonly terms: QueueTerms;
  readonly jobFiles: LeadershipOptions['jobFiles'] & {
    /** With less free, new requests are refused. */
    readonly minFreeBytes: number;
  };
  /** Those that can be asked for: requests are refused by their limits at once. */
  readonly models: Models;
  /** Disk tier of the latent cache, from which "delete my data" removes. */
  readonly cacheFolder: string;
  readonly ffmpegPath: string;
  /** Under which people reach the studio page; absent where nobody has said. */
  readonly publicUrl?: string | undefined;
  /** Removes what chats keep of a person in Redis until it is handled; absent where no chat does. */
  readonly forgetUpdates?: (redis: Redis, keys: Keys, userKey: string, wishedAt: number) => Promise<void>;
}

/** A bot that has its services. */
interface OpenBot extends RunningBot {
  /** Begins what one bot of several does alone. Resolves when people can send requests. */
  lead(): Promise<void>;
}

/**
 * Begins what each of several bots does, also one that does not lead.
 * @throws KinoraError INVALID_CONFIG when Redis may not be trusted with jobs
 */
export async function openBot(options: BotOptions): Promise<OpenBot> {
  const { address, storage, terms, jobFiles, platforms, log, metrics } = options;
  const onError = (error: Error): void => log.warn({ err: error.message }, 'redis');
  const failFast = connectRedis(address, 'fail-fast', onError);
  const patient = connectRedis(address, 'patient', onError);
  const forgets = await assertTrustworthy(patient);
  if (forgets !== undefined) log.warn(forgets);
  await claimSchema(patient, new Keys(), log);

  const artifacts = new Artifacts(storage, jobFiles.minFreeBytes);
  const onDecision = metrics ? { onDecision: metrics.onDecision } : {};
  const client = new JobClient(
    failFast,
    {
      ...terms,
      diskFull: () => artifacts.almostFull(),
      onAccepted: (request, at) => artifacts.storeAccepted(request, at),
      withdrawals: artifacts.withdrawals,
      ...onDecision,
    },
    log,
  );
  const admin = adminTools(failFast, client, terms, log);
  const forget: ForgetTools = {
    redis: failFast,
    client,
    artifacts,
    cacheFolder: options.cacheFolder,
    day: terms.day,
    forgetUpdates: async (userKey, wishedAt) => {
      await options.forgetUpdates?.(failFast, client.keys, userKey, wishedAt);
    },
    log,
  };
  await options.models.start(failFast, client.keys, log);
  const services = servicesOf(options, admin, forget);
  for (const platform of platforms) await platform.serve?.(services);
  let leadership: Leadership | undefined;
  return {
    lead: async () => {
      leadership = new Leadership(options, { patient, admin, forget });
      await leadership.start();
      for (const platform of platforms) {
        await platform.start(services);
        log.info({ platform: platform.name }, 'taking requests');
      }
    },
    stop: async () => {
      const begun = leadership ? platforms : platforms.filter(({ serve }) => serve !== undefined);
      await Promise.all(begun.map((platform) => platform.stop()));
      await leadership?.stop();
      await options.models.stop();
      await admin.mode.close();
      await client.close();
      failFast.disconnect();
      patient.disconnect();
    },
  };
}

function servicesOf(
  { jobFiles, ffmpegPath, models, platforms, publicUrl, log }: BotOptions,
  admin: AdminTools,
  forget: ForgetTools,
): Services {
  const { client, artifacts, day, redis } = forget;
  const rules = new RuleBook(new RuleStore(admin.trail));
  const retentionDays = Math.round(jobFiles.retentionMs / 86_400_000);
  return {
    redis,
    client,
    artifacts,
    models,
    requests: new Requests({ client, artifacts, rules, day, models, log }),
    buttons: new JobButtons(client, artifacts, ffmpegPath),
    account: new Account(admin, forget, retentionDays),
    administration: new Administration(admin, rules, log),
    isAdmin: isAdminOf(platforms),
    studio: new StudioLinks(new SignInLinks(redis, client.keys), publicUrl, log),
  };
}

/** Each platform decides about its own users. */
function isAdminOf(platforms: readonly ChatPlatform[]): Services['isAdmin'] {
  return async (userKey) => {
    const platform = platforms.find(({ name }) => userKey.startsWith(`${name}:`));
    return (await platform?.isAdmin?.(userKey)) ?? false;
  };
}
