/** `/v1/uploads`: links by which clients put pictures straight into the storage. */
import { z } from 'zod';
import { defaultImageLimits } from '../../inference/pictures/header.ts';
import type { Artifacts } from '../../queue/artifacts.ts';
import type { OpenUploads } from '../../queue/open-uploads.ts';
import { callerWith } from '../caller.ts';
import { errorSchema, ProblemError } from '../problem.ts';
import type { WebServer } from '../web-server.ts';

const uploadBody = z.strictObject({
  bytes: z.int().min(1).max(defaultImageLimits.maxBytes).describe('The length of the picture.'),
  type: z
    .enum(['image/jpeg', 'image/png', 'image/webp', 'image/gif', 'image/tiff'])
    .describe('What the picture is sent as; what it is, is looked at when it is used.'),
});

const uploadSchema = z
  .object({
    object: z.literal('upload'),
    id: z.string().describe('What `input_reference` of a request may be.'),
    method: z.literal('PUT'),
    url: z.string().describe('Takes the picture by PUT, without any key, until it stops working.'),
    headers: z.record(z.string(), z.string()).describe('To be sent with it.'),
    expires_at: z
      .int()
      .describe('When the address stops working. The picture is kept until it is used, for an hour at most.'),
  })
  .meta({ id: 'Upload' });

export function uploadRoutes(
  app: WebServer,
  { artifacts, openUploads }: { readonly artifacts: Artifacts; readonly openUploads: OpenUploads },
): void {
  app.post(
    '/v1/uploads',
    {
      config: { answers: [404, 409] },
      schema: {
        summary: 'A link to put a picture into the storage',
        description: 'Where Kinora keeps its files in a bucket that clients reach; 404 elsewhere.',
        tags: ['videos'],
        body: uploadBody,
        response: { 200: uploadSchema, '4xx': errorSchema, '5xx': errorSchema },
      },
    },
    async (request) => {
      const { person } = callerWith(request, 'use');
      const { bytes, type } = request.body;
      const upload = await artifacts.uploads.begin(person.userKey, bytes, type);
      if (!upload) throw new ProblemError({ kind: 'noUploads' });
      if (!(await openUploads.add(person.userKey, upload.id)))
        throw new ProblemError({ kind: 'uploadLimit' });
      const { id, url, headers, validMs } = upload;
      const expires_at = Math.floor((Date.now() + validMs) / 1000);
      return {
        object: 'upload' as const,
        id,
        method: 'PUT' as const,
        url,
        headers: { ...headers },
        expires_at,
      };
    },
  );
}
