/** The settings of the storage, as the environment has them; those of AWS are named as for other programs. */
import path from 'node:path';
import { z } from 'zod';
import type { S3Settings } from './s3-client.ts';

/** A bucket, and where in it. */
const storageAddress = z
  .string()
  .regex(/^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/[\w.-]+)*\/?$/, {
    error: 'expected s3://BUCKET or s3://BUCKET/PREFIX, of letters, digits, ".", "_", "-" and "/"',
  })
  .optional();

const endpoint = z.url({ protocol: /^https?$/, error: 'expected https://… or http://…' }).optional();

export const storageFields = {
  KINORA_STORAGE: storageAddress,
  KINORA_STORAGE_URL: endpoint,
  AWS_ACCESS_KEY_ID: z.string().optional(),
  AWS_SECRET_ACCESS_KEY: z.string().optional(),
  AWS_SESSION_TOKEN: z.string().optional(),
  AWS_REGION: z.string().default('us-east-1'),
  AWS_ENDPOINT_URL: endpoint,
  AWS_ENDPOINT_URL_S3: endpoint,
};

const environmentSchema = z.object(storageFields);
type StorageEnvironment = z.output<typeof environmentSchema>;

/** The bucket for the files of jobs; undefined where they lie in a folder. */
export function bucketOf(env: StorageEnvironment, dataDir: string): S3Settings | undefined {
  if (env.KINORA_STORAGE === undefined) return undefined;
  const [bucket = '', ...prefix] = env.KINORA_STORAGE.slice('s3://'.length).split('/');
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env;
  const sessionToken = env.AWS_SESSION_TOKEN;
  return {
    bucket,
    prefix: prefix.filter((part) => part !== '').join('/'),
    region: env.AWS_REGION,
    endpoint: env.AWS_ENDPOINT_URL_S3 ?? env.AWS_ENDPOINT_URL,
    publicEndpoint: env.KINORA_STORAGE_URL,
    workFolder: path.join(dataDir, 'work'),
    credentials:
      accessKeyId !== undefined && secretAccessKey !== undefined
        ? { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) }
        : undefined,
  };
}
