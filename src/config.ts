/**
 * The only reader of the environment. Every setting is described in .env.example; a test keeps the two equal.
 */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { config as readDotenv } from 'dotenv';
import { z } from 'zod';
import { KinoraError } from './errors.ts';
import type { AdmissionLimits } from './queue/ledger.ts';
import type { RedisAddress } from './queue/redis.ts';

/** The folder of package.json. */
export const projectFolder = fileURLToPath(new URL('..', import.meta.url));

const megabytes = (max: number) => z.coerce.number().int().min(0).max(max);

const count = z.coerce.number().int().min(1).max(1_000_000);

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** Name → what it may be and what it is when unset. An empty value counts as unset. */
export const environmentSchema = z.object({
  KINORA_DATA_DIR: z.string().default(path.join(projectFolder, 'data')),
  KINORA_MODEL: z.string().default('builtin'),
  KINORA_MODELS_DIR: z.string().optional(),
  KINORA_DEVICE: z
    .string()
    .regex(/^(auto|cpu|webgpu|(cuda|tensorrt)(:\d{1,2})?)$/, {
      error: 'expected auto, cpu, cuda, cuda:N, tensorrt, tensorrt:N or webgpu',
    })
    .default('auto'),
  KINORA_THREADS: z.coerce.number().int().min(0).max(256).default(0),
  KINORA_CACHE_MEMORY_MB: megabytes(1_000_000).default(256),
  KINORA_CACHE_DISK_MB: megabytes(10_000_000).default(2048),
  KINORA_METADATA: z.enum(['on', 'off']).default('on'),
  KINORA_LOG_LEVEL: z.enum(['silent', 'error', 'warn', 'info', 'debug']).default('warn'),
  FFMPEG_PATH: z.string().optional(),
  REDIS_URL: z
    .string()
    .regex(/^(rediss?|unix):\/\/./, { error: 'expected redis://…, rediss://… or unix:///path' })
    .optional(),
  KINORA_INBOX: z.string().optional(),
  KINORA_QUEUE_LIMIT: count.default(500),
  KINORA_USER_LIMIT: count.default(5),
  KINORA_COMMUNITY_LIMIT: count.default(50),
  KINORA_CREDITS_PER_DAY: z.coerce.number().int().min(0).max(1_000_000).default(50),
  KINORA_COST_FAST: count.default(1),
  KINORA_COST_STANDARD: count.default(2),
  KINORA_COST_HIGH: count.default(6),
  KINORA_COST_CREATIVE: count.default(2),
  KINORA_COOLDOWN_SECONDS: z.coerce.number().min(0).max(86_400).default(0),
  KINORA_TIME_ZONE: z
    .string()
    .refine(isTimeZone, { error: 'expected an IANA time zone such as Europe/Berlin' })
    .default('UTC'),
  KINORA_GRACE_SECONDS: z.coerce.number().min(0).max(3_600).default(25),
});

export interface Config {
  readonly dataDir: string;
  /** Name of a pack in one of modelsDirs, or a path to one. */
  readonly model: string;
  /** Where packs are looked for, in this order. */
  readonly modelsDirs: readonly string[];
  readonly device: string;
  readonly threads: number;
  readonly cacheMemoryBytes: number;
  readonly cacheDiskBytes: number;
  readonly metadata: boolean;
  readonly logLevel: string;
  readonly ffmpegPath: string | undefined;
  readonly redis: RedisAddress | undefined;
  /** Folder whose pictures are animated. */
  readonly inboxFolder: string | undefined;
  readonly queue: {
    readonly limits: AdmissionLimits;
    /** Credits per preset. */
    readonly costs: Readonly<Record<string, number>>;
    readonly cooldownMs: number;
    readonly timeZone: string;
    /** How long a running job may go on when its worker is asked to end. */
    readonly graceMs: number;
  };
}

const bytesPerMegabyte = 1024 ** 2;

/**
 * Reads .env in the current folder, then the environment, which wins.
 * @throws KinoraError INVALID_CONFIG naming the variable and what it may be, never its value: it may be a secret
 */
export function loadConfig(environment: NodeJS.ProcessEnv = process.env, dotenvPath = '.env'): Config {
  const values: Record<string, string> = {};
  readDotenv({ path: dotenvPath, processEnv: values, quiet: true });
  for (const [name, value] of Object.entries(environment)) if (value !== undefined) values[name] = value;
  for (const [name, value] of Object.entries(values)) if (value.trim() === '') delete values[name];

  const parsed = environmentSchema.safeParse(values);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new KinoraError('INVALID_CONFIG', `${issue?.path.join('.')}: ${issue?.message}.`);
  }
  const env = parsed.data;
  const ownModels = path.join(projectFolder, 'models');
  return {
    dataDir: path.resolve(env.KINORA_DATA_DIR),
    model: env.KINORA_MODEL,
    modelsDirs: env.KINORA_MODELS_DIR ? [path.resolve(env.KINORA_MODELS_DIR), ownModels] : [ownModels],
    device: env.KINORA_DEVICE,
    threads: env.KINORA_THREADS,
    cacheMemoryBytes: env.KINORA_CACHE_MEMORY_MB * bytesPerMegabyte,
    cacheDiskBytes: env.KINORA_CACHE_DISK_MB * bytesPerMegabyte,
    metadata: env.KINORA_METADATA === 'on',
    logLevel: env.KINORA_LOG_LEVEL,
    ffmpegPath: env.FFMPEG_PATH,
    redis: redisAddress(env.REDIS_URL),
    inboxFolder: env.KINORA_INBOX,
    queue: {
      limits: {
        queue: env.KINORA_QUEUE_LIMIT,
        user: env.KINORA_USER_LIMIT,
        community: env.KINORA_COMMUNITY_LIMIT,
        credits: env.KINORA_CREDITS_PER_DAY,
      },
      costs: {
        fast: env.KINORA_COST_FAST,
        standard: env.KINORA_COST_STANDARD,
        high: env.KINORA_COST_HIGH,
        creative: env.KINORA_COST_CREATIVE,
      },
      cooldownMs: env.KINORA_COOLDOWN_SECONDS * 1000,
      timeZone: env.KINORA_TIME_ZONE,
      graceMs: env.KINORA_GRACE_SECONDS * 1000,
    },
  };
}

function redisAddress(url: string | undefined): RedisAddress | undefined {
  if (url === undefined) return undefined;
  return url.startsWith('unix://') ? { socketPath: url.slice('unix://'.length) } : { url };
}
