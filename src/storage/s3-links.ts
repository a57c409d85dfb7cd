/** Links with which others fetch and put single files of a bucket, for some minutes, without any key. */
import { GetObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { Links, Place } from './storage.ts';

/** As long as a slow client may need to begin. */
const expiresIn = 600;

/**
 * @param client whose endpoint is the one that people reach
 * @param clockOffsetMs by how much the service's clock is ahead of this machine's, as far as its answers have told
 */
export function s3Links(
  client: S3Client,
  clockOffsetMs: () => number,
  objectOf: (place: Place) => { Bucket: string; Key: string },
): Links {
  const terms = () => ({ expiresIn, signingDate: new Date(Date.now() + clockOffsetMs()) });
  return {
    validMs: expiresIn * 1000,
    download: async (place, { disposition, type }) => {
      const answer = { ResponseContentDisposition: disposition, ResponseContentType: type };
      return await getSignedUrl(client, new GetObjectCommand({ ...objectOf(place), ...answer }), terms());
    },
    upload: async (place, { bytes, type }) => {
      const command = new PutObjectCommand({ ...objectOf(place), ContentLength: bytes, ContentType: type });
      // A body of another length or type has another signature.
      const signableHeaders = new Set(['host', 'content-length', 'content-type']);
      return await getSignedUrl(client, command, { ...terms(), signableHeaders });
    },
  };
}
