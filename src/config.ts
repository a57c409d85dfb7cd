/**
 * The only reader of the environment. Every setting is described in .env.example; a test keeps the two equal.
 */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { config as readDotenv } from 'dotenv';
import { z } from 'zod';
import { KinoraError } from './errors.ts';

/** The folder of package.json. */
export const projectFolder = fileURLToPath(new URL('..', import.meta.url));

const megabytes = (max: number) => z.coerce.number().int().min(0).max(max);

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
    .regex(/^rediss?:\/\//, { error: 'expected redis://… or rediss://…' })
    .optional(),
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
  readonly redisUrl: string | undefined;
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
    redisUrl: env.REDIS_URL,
  };
}
