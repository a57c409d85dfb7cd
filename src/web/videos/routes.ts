/** `/v1/videos`, in the shape of OpenAI's Videos API. A video of another person is a video that does not exist. */
import multipart from '@fastify/multipart';
import files from '@fastify/static';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { messagesFor } from '../../bot/sentences/catalogue.ts';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { type Caller, callerWith } from '../caller.ts';
import { errorSchema, ProblemError, refusalProblem } from '../problem.ts';
import type { WebServer } from '../server.ts';
import { largestBody, readForm } from './body.ts';
import { sendContent } from './content.ts';
import { type CreateTools, createVideo } from './create.ts';
import {
  contentSchema,
  createSchema,
  idSchema,
  listSchema,
  type Video,
  videoListSchema,
  videoSchema,
} from './schemas.ts';
import { standingOf, videoOf } from './video.ts';

const tags = ['videos'];
const errors = { '4xx': errorSchema, '5xx': errorSchema } as const;
const bodyTypes = ['multipart/form-data', 'application/json'];
/** Bodies with a picture that are read at a time: each may take as much memory as a picture may. */
const mostUploads = 8;

export async function videoRoutes(app: WebServer, tools: CreateTools): Promise<void> {
  await app.register(multipart);
  // Files are sent from the folders of jobs only, each by its name.
  await app.register(files, {
    root: import.meta.dirname,
    serve: false,
    dotfiles: 'allow',
    cacheControl: false,
  });
  app.decorateRequest('picture', undefined);
  const admitUpload = uploadGate();

  app.post(
    '/v1/videos',
    {
      bodyLimit: largestBody,
      onRequest: admitUpload,
      preValidation: readForm,
      schema: {
        summary: 'Ask for a video',
        description: 'The picture is required; everything else has a default of the preset or the model.',
        tags,
        consumes: bodyTypes,
        body: createSchema,
        response: { 200: videoSchema, ...errors },
      },
    },
    (request) => createVideo(request, request.body, callerWith(request, 'use'), tools),
  );

  app.get(
    '/v1/videos',
    {
      schema: {
        summary: "The key's own videos, of every surface",
        tags,
        querystring: listSchema,
        response: { 200: videoListSchema, ...errors },
      },
    },
    async (request) => {
      const { person } = callerWith(request, 'use');
      const { after, limit, order } = request.query;
      const page = await tools.client.ledger.historyOf(person.userKey, {
        after,
        limit,
        newestFirst: order === 'desc',
      });
      if (!page) throw new ProblemError({ kind: 'videoNotFound', param: 'after' });
      const data = await Promise.all(page.entries.map((entry) => shown(entry, request)));
      const [first_id = null, last_id = null] = [data.at(0)?.id, data.at(-1)?.id];
      return { object: 'list' as const, data, first_id, last_id, has_more: page.hasMore };
    },
  );

  app.get(
    '/v1/videos/:id',
    {
      schema: {
        summary: 'One video',
        tags,
        params: idSchema,
        response: { 200: videoSchema, ...errors },
      },
    },
    async (request) => await shown(await open(request, request.params.id), request),
  );

  app.get(
    '/v1/videos/:id/content',
    {
      schema: {
        summary: 'The file of a video, or its thumbnail',
        description:
          'Takes ranges. 409 while it is not made, with Retry-After; 410 when it is no longer kept.',
        tags,
        params: idSchema,
        querystring: contentSchema,
        produces: ['video/mp4', 'image/jpeg', 'application/json'],
        response: errors,
      },
    },
    async (request, reply) => {
      const entry = await open(request, request.params.id);
      return await sendContent(reply, entry, request.query.variant, tools);
    },
  );

  async function shown(entry: LedgerEntry, request: FastifyRequest): Promise<Video> {
    const say = messagesFor(callerWith(request, 'use').person.locale);
    return await videoOf(entry, await standingOf(entry, tools.client), tools, say);
  }

  async function open(request: FastifyRequest, id: string): Promise<LedgerEntry> {
    return await openVideo(id, callerWith(request, 'use'), tools);
  }
}

async function openVideo(id: string, { person }: Caller, { services }: CreateTools): Promise<LedgerEntry> {
  const opened = await services.buttons.open(id, person, 'remix');
  if (opened.kind === 'refused') throw refusalProblem(opened.reason);
  if (opened.entry.isWithdrawn) throw new ProblemError({ kind: 'videoNotFound' });
  return opened.entry;
}

/** Refuses a body while too many are read. */
function uploadGate(): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  let uploads = 0;
  return async (_request, reply) => {
    if (uploads >= mostUploads)
      throw new ProblemError({ kind: 'busy', uploads: mostUploads, retryAfterMs: 1_000 });
    uploads++;
    reply.raw.once('close', () => {
      uploads--;
    });
  };
}
