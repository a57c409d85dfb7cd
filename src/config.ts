/** All settings, their ranges and defaults; nothing else knows them. A test compares their names with .env.example. */
import path from 'node:path';
import { z } from 'zod';
import { KinoraError } from './errors.ts';
import { homeFolder, projectFolder } from './home.ts';
import { isDeviceName } from './inference/devices/device.ts';
import { isPublicUrl } from './public-url.ts';
import type { RedisAddress } from './queue/redis.ts';
import { readRedisUrl, redisUrlExpectation } from './queue/redis-url.ts';
import { isQuietPattern } from './quiet-hours.ts';
import { optionTable } from './request/request.ts';
import { schedulerNames } from './request/scheduler-names.ts';
import { readValues } from './settings-file.ts';
import { bucketOf, storageFields } from './storage/settings.ts';

const number = (min: number, max: number) => {
  const error = `expected a number from ${min} to ${max}`;
  return z.coerce.number({ error }).min(min, { error }).max(max, { error });
};
const whole = (min: number, max: number) => {
  const error = `expected a whole number from ${min} to ${max}`;
  return z.coerce.number({ error }).int({ error }).min(min, { error }).max(max, { error });
};
const megabytes = (max: number) => whole(0, max);
const count = whole(1, 1_000_000);
const oneOf = <const T extends readonly string[]>(...names: T) =>
  z.enum(names, { error: `expected one of ${names.join(', ')}` });

/** Whether an address is one that ioredis understands; a password must be percent-encoded. */
function isRedisUrl(text: string): boolean {
  if (text.startsWith('unix://')) return text.length > 'unix://'.length;
  return readRedisUrl(text) !== undefined;
}

/** What --device and KINORA_DEVICE may be. */
export const isDevice = (name: string): boolean => name === 'auto' || isDeviceName(name);
export const deviceExpectation = 'expected auto, cpu, cuda, cuda:N, tensorrt, tensorrt:N or webgpu';

/** Ids in the form that the chats show, separated by commas or spaces. */
const ids = z
  .string()
  .regex(/^\d+([\s,]+\d+)*$/, { error: 'expected numbers with commas between' })
  .transform((text) => text.split(/[\s,]+/))
  .default([]);

/** Names with commas between. */
const names = z.string().transform((text) => text.split(',').flatMap((name) => name.trim() || []));

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** "off", or clips whose shapes are run before the first job. */
const warmUp = z
  .string()
  .regex(/^(off|\d{1,5}x\d{1,5}x\d{1,4}([\s,]+\d{1,5}x\d{1,5}x\d{1,4})*)$/, {
    error: 'expected off, or WIDTHxHEIGHTxFRAMES with commas between',
  })
  .transform((text) =>
    text === 'off'
      ? []
      : text.split(/[\s,]+/).map((shape) => {
          const [width = 0, height = 0, numFrames = 0] = shape.split('x').map(Number);
          return { width, height, numFrames };
        }),
  )
  .optional();

const minuteMs = 60_000;
const unitMs = { s: 1000, m: minuteMs, h: 60 * minuteMs };
/** "off", or a time such as 10m. In ms. */
const idleUnload = z
  .string()
  .regex(/^(off|\d{1,6} ?[smh])$/, { error: 'expected off, or a time such as 90s, 10m or 2h' })
  .transform((text) => {
    const unit = /[smh]$/.exec(text)?.[0];
    return unit === 's' || unit === 'm' || unit === 'h'
      ? Number.parseInt(text, 10) * unitMs[unit]
      : undefined;
  })
  .refine((ms) => ms === undefined || (ms >= minuteMs && ms <= 24 * 60 * minuteMs), {
    error: 'expected off, or a time from 1m to 24h',
  })
  .optional();

/** Sometimes written without its scheme. */
const proxy = z
  .string()
  .transform((text) => (text.includes('://') ? text : `http://${text}`))
  .refine((text) => URL.canParse(text) && /^(https?|socks|socks5h?):$/.test(new URL(text).protocol), {
    error: 'expected http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT',
  })
  .optional();

const publicUrl = z
  .string()
  .refine(isPublicUrl, {
    error:
      'expected https://NAME without anything behind it, or http:// for this machine or an address of a private network, such as http://192.168.1.20:7080',
  })
  .transform((text) => new URL(text).origin)
  .optional();

const featureReuse = { '1': 1, '2': 2, '3': 3 } as const;

/** Every setting with its range and default. An empty value counts as unset. */
export const environmentSchema = z.object({
  KINORA_ENV_FILE: z.string().default(path.join(homeFolder, '.env')),
  KINORA_DATA_DIR: z.string().default(path.join(homeFolder, 'data')),
  KINORA_MODEL: names.default(['builtin']),
  KINORA_MODELS_DIR: z.string().optional(),
  KINORA_DEVICE: z.string().refine(isDevice, { error: deviceExpectation }).default('auto'),
  KINORA_THREADS: whole(0, 256).default(0),
  KINORA_VRAM_GB: number(0.5, 1024).optional(),
  KINORA_WARMUP: warmUp,
  KINORA_IDLE_UNLOAD: idleUnload,
  KINORA_QUIET_HOURS: z
    .string()
    .refine(isQuietPattern, {
      error:
        'expected five fields of cron, the third and fourth "*", that leave some minutes of a week free, such as "* 22-23,0-6 * * *"',
    })
    .optional(),
  KINORA_SCHEDULER: oneOf(...schedulerNames).optional(),
  KINORA_GUIDANCE_END: number(optionTable.guidanceEnd.min, optionTable.guidanceEnd.max).default(1),
  KINORA_REUSE: oneOf('1', '2', '3').default('1'),
  KINORA_CACHE_MEMORY_MB: megabytes(1_000_000).default(256),
  KINORA_CACHE_DISK_MB: megabytes(10_000_000).default(2048),
  KINORA_METADATA: oneOf('on', 'off').default('on'),
  KINORA_LOG_LEVEL: oneOf('silent', 'error', 'warn', 'info', 'debug').default('warn'),
  FFMPEG_PATH: z.string().optional(),
  REDIS_URL: z.string().refine(isRedisUrl, { error: redisUrlExpectation }).optional(),
  ...storageFields,
  KINORA_INBOX: z.string().optional(),
  KINORA_DISCORD_TOKEN: z
    .string()
    .regex(/^[\w-]{10,}\.[\w-]{4,}\.[\w-]{20,}$/, {
      error: 'expected the token of the page "Bot", which has two dots in it',
    })
    .optional(),
  KINORA_DISCORD_ADMINS: ids,
  KINORA_DISCORD_ADMIN_ROLES: ids,
  KINORA_DISCORD_ADMIN_SERVERS: ids,
  KINORA_DISCORD_SHARDS: whole(1, 256).optional(),
  KINORA_TELEGRAM_TOKEN: z
    .string()
    .regex(/^\d+:[\w-]+$/, { error: 'expected the token as BotFather gave it' })
    .optional(),
  KINORA_TELEGRAM_ADMINS: ids,
  KINORA_TELEGRAM_API: z.url({ protocol: /^https?$/, error: 'expected https://… or http://…' }).optional(),
  HTTPS_PROXY: proxy,
  HTTP_PROXY: proxy,
  ALL_PROXY: proxy,
  NO_PROXY: z.string().optional(),
  KINORA_QUEUE_LIMIT: count.default(500),
  KINORA_USER_LIMIT: count.default(5),
  KINORA_COMMUNITY_LIMIT: count.default(50),
  KINORA_CREDITS_PER_DAY: whole(0, 1_000_000).default(50),
  KINORA_COST_FAST: count.default(1),
  KINORA_COST_STANDARD: count.default(2),
  KINORA_COST_HIGH: count.default(6),
  KINORA_COST_CREATIVE: count.default(2),
  KINORA_COOLDOWN_SECONDS: number(0, 86_400).default(0),
  KINORA_TIME_ZONE: z
    .string()
    .refine(isTimeZone, { error: 'expected an IANA time zone such as Europe/Berlin' })
    .default('UTC'),
  KINORA_EXPIRE_HOURS: number(0.1, 8_760).default(24),
  KINORA_GRACE_SECONDS: number(0, 3_600).default(25),
  KINORA_METRICS_PORT: whole(0, 65_534).default(0),
  KINORA_METRICS_HOST: z.string().default('127.0.0.1'),
  KINORA_WEB_HOST: z.string().default('127.0.0.1'),
  KINORA_PUBLIC_URL: publicUrl,
  KINORA_WEBHOOK_PRIVATE: oneOf('on', 'off').default('off'),
  KINORA_WEB_PORT: whole(0, 65_535).optional(),
  KINORA_RETENTION_DAYS: number(1, 3_650).default(30),
  KINORA_JOBS_DISK_MB: megabytes(100_000_000).default(20_480),
  KINORA_MIN_FREE_DISK_MB: megabytes(10_000_000).default(512),
});

export type Config = Readonly<ReturnType<typeof toConfig>>;

const bytesPerMegabyte = 1024 ** 2;
const bytesPerGigabyte = 1024 ** 3;

/** Names of chats' tokens without KINORA_ in front: people know them from other programs. */
const foreignTokenNames = /^(KINORA_)?(DISCORD|TELEGRAM)(_BOT)?_TOKEN$|^BOT_TOKEN$/;

/** Tokens that have no effect, because their name is another program's. */
export function misnamedTokens(environment: NodeJS.ProcessEnv = process.env): string[] {
  return Object.keys(readValues(environment))
    .filter((name) => foreignTokenNames.test(name) && !Object.hasOwn(environmentSchema.shape, name))
    .sort();
}

/** The documentation has clients of the API use it, which may run on this machine. */
const keyOfClients = 'KINORA_KEY';

/** Names that begin with KINORA_ and are no setting: mostly typing errors, which would have no effect in silence. */
export function unknownSettings(environment: NodeJS.ProcessEnv = process.env): string[] {
  return Object.keys(readValues(environment))
    .filter((name) => name.startsWith('KINORA_') && name !== keyOfClients)
    .filter((name) => !Object.hasOwn(environmentSchema.shape, name))
    .sort();
}

/**
 * Reads .env beside package.json, then the environment, which takes precedence.
 * @throws KinoraError INVALID_CONFIG with names and ranges of the wrong settings; never with values, which may be secret
 */
export function loadConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const { config, problems } = inspectConfig(environment);
  if (problems.length > 0) throw new KinoraError('INVALID_CONFIG', `${problems.join('; ')}.`);
  return config;
}

/** The same for whoever looks at all of it: each wrong setting is named, and counts as unset. */
export function inspectConfig(environment: NodeJS.ProcessEnv = process.env): {
  readonly config: Config;
  readonly problems: readonly string[];
} {
  const values = readValues(environment);
  const parsed = environmentSchema.safeParse(values);
  if (parsed.success) return { config: toConfig(parsed.data), problems: [] };
  const { issues } = parsed.error;
  for (const { path: names } of issues) delete values[String(names[0])];
  return {
    config: toConfig(environmentSchema.parse(values)),
    problems: issues.map(({ path: [name], message }) => `${String(name)}: ${message}`),
  };
}

/** The HTTP API. `port` is 0 for none; undefined: the usual one with "kinora start", none without. */
function webOf(env: z.output<typeof environmentSchema>) {
  return {
    host: env.KINORA_WEB_HOST,
    port: env.KINORA_WEB_PORT,
    /** Without a slash at its end; undefined: only this machine reaches the page. */
    publicUrl: env.KINORA_PUBLIC_URL,
    /** Webhooks, and pictures by URL, may have addresses of this machine and of private networks. */
    mayCallPrivate: env.KINORA_WEBHOOK_PRIVATE === 'on',
  };
}

function shortcutsOf(env: z.output<typeof environmentSchema>) {
  return {
    ...(env.KINORA_SCHEDULER === undefined ? {} : { scheduler: env.KINORA_SCHEDULER }),
    guidanceEnd: env.KINORA_GUIDANCE_END,
    featureReuse: featureReuse[env.KINORA_REUSE],
  };
}

function queueOf(env: z.output<typeof environmentSchema>) {
  return {
    limits: {
      queue: env.KINORA_QUEUE_LIMIT,
      user: env.KINORA_USER_LIMIT,
      community: env.KINORA_COMMUNITY_LIMIT,
      credits: env.KINORA_CREDITS_PER_DAY,
    },
    /** Credits per preset. */
    costs: {
      fast: env.KINORA_COST_FAST,
      standard: env.KINORA_COST_STANDARD,
      high: env.KINORA_COST_HIGH,
      creative: env.KINORA_COST_CREATIVE,
    },
    cooldownMs: env.KINORA_COOLDOWN_SECONDS * 1000,
    timeZone: env.KINORA_TIME_ZONE,
    /** How long a running job may continue when its worker is asked to end. */
    graceMs: env.KINORA_GRACE_SECONDS * 1000,
    /** A job that waits longer fails as expired. */
    expireAfterMs: env.KINORA_EXPIRE_HOURS * 3_600_000,
  };
}

function toConfig(env: z.output<typeof environmentSchema>) {
  const ownModels = [...new Set([homeFolder, projectFolder])].map((folder) => path.join(folder, 'models'));
  return {
    dataDir: env.KINORA_DATA_DIR,
    /** Pictures that came in and videos that went out, unless they lie in a bucket. */
    jobsFolder: path.join(env.KINORA_DATA_DIR, 'jobs'),
    /** Disk tier of the latent cache. */
    cacheFolder: path.join(env.KINORA_DATA_DIR, 'cache'),
    /** Names of packs in modelsDirs, or paths to packs; `model`, the first, is the default. */
    model: env.KINORA_MODEL[0] ?? 'builtin',
    models: [...new Set(env.KINORA_MODEL)],
    /** Searched for packs in this order. */
    modelsDirs: env.KINORA_MODELS_DIR ? [env.KINORA_MODELS_DIR, ...ownModels] : ownModels,
    device: env.KINORA_DEVICE,
    threads: env.KINORA_THREADS,
    /** Bytes of GPU memory that may be used; undefined: those that are free when a model is loaded. */
    vramBytes: env.KINORA_VRAM_GB === undefined ? undefined : env.KINORA_VRAM_GB * bytesPerGigabyte,
    /** Shapes that are run before the first job; undefined: a choice by device. */
    warmUp: env.KINORA_WARMUP,
    /** After so many ms without a job, a worker's engine gives all its memory back; undefined: never. */
    idleUnloadMs: env.KINORA_IDLE_UNLOAD,
    /** Cron pattern of the minutes in which this machine begins no job, by `queue.timeZone`. */
    quietHours: env.KINORA_QUIET_HOURS,
    /** Defaults of requests that trade exactness for speed; without settings there are none. */
    shortcuts: shortcutsOf(env),
    cacheMemoryBytes: env.KINORA_CACHE_MEMORY_MB * bytesPerMegabyte,
    cacheDiskBytes: env.KINORA_CACHE_DISK_MB * bytesPerMegabyte,
    metadata: env.KINORA_METADATA === 'on',
    logLevel: env.KINORA_LOG_LEVEL,
    ffmpegPath: env.FFMPEG_PATH,
    /** Ports for /metrics and /healthz; undefined: none. */
    metricsPorts:
      env.KINORA_METRICS_PORT === 0
        ? undefined
        : { bot: env.KINORA_METRICS_PORT, worker: env.KINORA_METRICS_PORT + 1 },
    metricsHost: env.KINORA_METRICS_HOST,
    web: webOf(env),
    redis: redisAddress(env.REDIS_URL),
    storage: bucketOf(env, env.KINORA_DATA_DIR),
    /** Folder whose pictures are animated. */
    inboxFolder: env.KINORA_INBOX,
    discord: env.KINORA_DISCORD_TOKEN
      ? {
          token: env.KINORA_DISCORD_TOKEN,
          adminUserIds: env.KINORA_DISCORD_ADMINS,
          adminRoleIds: env.KINORA_DISCORD_ADMIN_ROLES,
          /** Servers in which the admins' commands are shown. */
          adminServerIds: env.KINORA_DISCORD_ADMIN_SERVERS,
          /** Into how many the bots divide Discord, each serving some; undefined: the one that leads serves all. */
          shardCount: env.KINORA_DISCORD_SHARDS,
        }
      : undefined,
    telegram: env.KINORA_TELEGRAM_TOKEN
      ? {
          token: env.KINORA_TELEGRAM_TOKEN,
          adminUserIds: env.KINORA_TELEGRAM_ADMINS,
          /** Of a Bot API server of the owner's; undefined: Telegram's own. */
          apiRoot: env.KINORA_TELEGRAM_API,
          isLocalServer: env.KINORA_TELEGRAM_API !== undefined,
        }
      : undefined,
    proxies: proxiesOf(env),
    queue: queueOf(env),
    /** The jobs' folders. */
    jobFiles: {
      /** How long the files and the ledger entry of a delivered job are kept. */
      retentionMs: env.KINORA_RETENTION_DAYS * 86_400_000,
      budgetBytes: env.KINORA_JOBS_DISK_MB * bytesPerMegabyte,
      /** New requests are refused while less disk is free. */
      minFreeBytes: env.KINORA_MIN_FREE_DISK_MB * bytesPerMegabyte,
    },
  };
}

/** Through which the chats and their files are reached. */
function proxiesOf(env: z.output<typeof environmentSchema>) {
  return { https: env.HTTPS_PROXY, http: env.HTTP_PROXY, all: env.ALL_PROXY, no: env.NO_PROXY };
}

function redisAddress(url: string | undefined): RedisAddress | undefined {
  if (url === undefined) return undefined;
  return url.startsWith('unix://') ? { socketPath: url.slice('unix://'.length) } : { url };
}
