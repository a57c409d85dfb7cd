/**
 * A job: what a chat adapter submits, what the ledger keeps, and what the two BullMQ queues carry. Every reader parses
 * with these schemas. Knows no platform, no Redis and no model.
 */
import { z } from 'zod';
import { errorDetailSchema } from '../error-details.ts';
import { type ErrorCode, errorCatalogue } from '../errors.ts';
import { generationSchema } from '../request/request.ts';
import { understoodSchema } from '../request/understood.ts';
import { assertKnown, contractField } from './contract.ts';
import { modelIdSchema } from './models.ts';

/** "<platform>:<id>", for example "discord:8035…". */
const platformKey = z.string().regex(/^[a-z]+:[\w.@-]{1,64}$/);

/** Made from the message or interaction that asked; digits alone and colons are refused by BullMQ. */
export const jobIdSchema = z.string().regex(/^[a-z][a-z0-9]*-[\w-]{1,96}$/);

/** Twice what a server of Discord can have. */
const mostRoles = 500;

/** How a job is made from an earlier one. */
export const waysAgain = ['reroll', 'remix', 'subtle', 'strong', 'extend'] as const;

export const jobRequestSchema = z.object({
  /**
   * The lowest contract whose workers make of it what is meant. Whoever fills a field that came after the first contract,
   * and that changes what is made, says the contract of that field.
   */
  contract: contractField,
  id: jobIdSchema,
  userKey: platformKey,
  /** What the person is called, for those who administer Kinora. */
  userName: z.string().optional(),
  /** Platform that gives the answer, where it is not the one of the user's key. */
  surface: z
    .string()
    .regex(/^[a-z]+$/)
    .optional(),
  /** Server, group or chat in which it was asked; its caps and overrides apply. */
  communityKey: platformKey.optional(),
  /** Role or tier keys that the person holds, for quota overrides and weights. */
  roleKeys: z.array(platformKey).max(mostRoles).default([]),
  generation: generationSchema,
  /** Which model makes it, chosen or not. Absent where none was known, and in jobs of an earlier version. */
  model: modelIdSchema.optional(),
  /** Language of the person, as the platform names it: "en-US", "zh-CN". */
  locale: z.string().default('en'),
  /** Only the person who asked sees the answer, where the platform can do that. */
  isPrivate: z.boolean().default(false),
  /** The video is posted covered: so was its picture, or a rule of the community asks for it. */
  isSpoiler: z.boolean().default(false),
  /** A mask lies beside the picture. */
  hasMask: z.boolean().default(false),
  /** The earlier job of the same person that this one was made from, and how. */
  madeFrom: z.object({ jobId: jobIdSchema, by: z.enum(waysAgain) }).optional(),
  /** What the earlier job took, in ms, for results that this one may find in the cache. Absent for a first request. */
  earlier: z.object({ encodingMs: z.number(), denoiseMs: z.number() }).optional(),
  /** Where the answer goes: the adapter's own data, opaque here. Never a token. */
  replyTo: z.record(z.string(), z.json()),
});
export type JobRequest = z.input<typeof jobRequestSchema>;

/** The platform that gives the answer. */
export function surfaceOf({ surface, userKey }: Pick<JobRequest, 'surface' | 'userKey'>): string {
  return surface ?? userKey.split(':')[0] ?? '';
}

const oldPlacesSchema = z.looseObject({
  replyTo: z.looseObject({
    locale: z.string().optional(),
    isPrivate: z.boolean().optional(),
    isSpoiler: z.boolean().optional(),
    encodingMs: z.number().optional(),
    denoiseMs: z.number().optional(),
  }),
});

/** A request as the ledger holds it. Version 0.1 kept the fields from `locale` to `earlier` inside of `replyTo`. */
export const storedRequestSchema = z.preprocess((stored) => {
  const old = oldPlacesSchema.safeParse(stored);
  if (!old.success) return stored;
  const { locale, isPrivate, isSpoiler, encodingMs, denoiseMs = 0 } = old.data.replyTo;
  const earlier = encodingMs === undefined ? undefined : { encodingMs, denoiseMs };
  return { locale, isPrivate, isSpoiler, earlier, ...old.data };
}, jobRequestSchema);

/** The life of a job. The last four wait for, or have had, their answer delivered. */
export const jobStates = [
  'reserved',
  'waiting',
  'running',
  'generated',
  'delivering',
  'failed',
  'cancelled',
] as const;
export type JobState = (typeof jobStates)[number];

/** How a job was answered: the video arrived, or there was none or nobody to give it to. */
export const outcomeSchema = z.enum(['delivered', 'undeliverable']);
export type Outcome = z.infer<typeof outcomeSchema>;

const errorCodes = Object.keys(errorCatalogue) as [ErrorCode, ...ErrorCode[]];

/** What generation produced; the files lie in the job's artifact folder under fixed names. */
export const artifactSchema = z.object({
  videoId: z.string(),
  /** Names what the picture looks like, and so what the latent cache keeps of it. Absent in jobs before version 0.2. */
  pictureKey: z.string().optional(),
  bytes: z.int().positive(),
  width: z.int().positive(),
  height: z.int().positive(),
  numFrames: z.int().positive(),
  fps: z.number().positive(),
  durationSeconds: z.number().positive(),
  /** Quality was given up so that it fits into maxBytes. */
  isCompressed: z.boolean().optional(),
  /** Memory ran out, so it was made as this smaller preset would have it. */
  reducedTo: z.string().optional(),
  seed: z.int().nonnegative(),
  model: z.string(),
  device: z.string(),
  cache: z.object({ hits: z.array(z.string()), misses: z.array(z.string()) }),
  timings: z.record(z.string(), z.number()),
  /** Of the prompt, where the model tells; motions of another version are left out. */
  understood: understoodSchema.optional().catch(undefined),
});
export type Artifact = z.infer<typeof artifactSchema>;

export const failureSchema = z.object({
  /** One that another version knows is told as a fault: the person has to hear that there is no video. */
  code: z.enum(errorCodes).catch('INTERNAL'),
  message: z.string(),
  /** A detail of another version is left out: the code says enough. */
  detail: errorDetailSchema.optional().catch(undefined),
});
export type Failure = z.infer<typeof failureSchema>;

/** Queue data stays small: everything about the job is in the ledger under its id. */
const queueDataSchema = z.object({ contract: contractField, jobId: jobIdSchema });
export type QueueData = z.input<typeof queueDataSchema>;

/** @throws NewerRecord */
export function readQueueData(data: unknown): { readonly jobId: string } {
  assertKnown(data);
  return queueDataSchema.parse(data);
}

export const deliverQueueName = 'deliver';
