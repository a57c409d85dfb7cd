/** `/v1/videos`, in the shape of OpenAI's Videos API. A video of another person is a video that does not exist. */
import multipart from '@fastify/multipart';
import files from '@fastify/static';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { callerWith } from '../caller.ts';
import { errorSchema, ProblemError, refusalProblem } from '../problem.ts';
import type { WebServer } from '../web-server.ts';
import { largestBody, readForm } from './body.ts';
import { assertCompleted, sendContent } from './content.ts';
import { type CreateTools, createVideo, extendVideo, remixVideo, varyVideo } from './create.ts';
import { eventStream } from './events.ts';
import { libraryRoutes } from './library.ts';
import { namedVideo, openVideo, shownVideo } from './open-video.ts';
import {
  askedVideoSchema,
  contentSchema,
  createSchema,
  deletedSchema,
  extensionSchema,
  idSchema,
  listSchema,
  remixSchema,
  repeatableSchema,
  variationSchema,
  videoListSchema,
  videoSchema,
} from './schemas.ts';

const tags = ['videos'];
const errors = { '4xx': errorSchema, '5xx': errorSchema } as const;
const bodyTypes = ['multipart/form-data', 'application/json'];
/** Of all bodies with a picture that are in hand at a time. */
const mostUploadedBytes = 8 * largestBody;

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
  app.decorateRequest('mask', undefined);
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
        headers: repeatableSchema,
        body: createSchema,
        response: { 200: askedVideoSchema, ...errors },
      },
    },
    (request) => createVideo(request, request.body, callerWith(request, 'use'), tools),
  );

  app.get(
    '/v1/videos',
    {
      config: { answers: [404] },
      schema: {
        summary: "One's own videos, of every surface",
        description: 'A search and filters are by prompt, preset, model and favourites.',
        tags,
        querystring: listSchema,
        response: { 200: videoListSchema, ...errors },
      },
    },
    async (request) => {
      const { person } = callerWith(request, 'use');
      const { after, limit, order, favourite, ...filter } = request.query;
      const page = await tools.client.history.page(person.userKey, {
        ...{ after, limit, newestFirst: order === 'desc' },
        filter: { ...filter, onlyFavourites: favourite === 'true' },
      });
      if (!page) throw new ProblemError({ kind: 'videoNotFound', param: 'after' });
      const data = await Promise.all(page.entries.map((entry) => shownVideo(entry, request, tools)));
      const [first_id = null, last_id = null] = [data.at(0)?.id, data.at(-1)?.id];
      return {
        object: 'list' as const,
        data,
        first_id,
        last_id,
        has_more: page.hasMore,
        next_after: page.next ?? null,
      };
    },
  );

  readRoutes(app, tools);
  changeRoutes(app, tools, admitUpload);
  libraryRoutes(app, tools);
}

/** What is told of a video that there is. */
function readRoutes(app: WebServer, tools: CreateTools): void {
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
    async (request) => await shownVideo(await openVideo(request, tools), request, tools),
  );

  app.get(
    '/v1/videos/:id/content',
    {
      config: { answers: [206, 302, 409, 410, 416] },
      schema: {
        summary: 'The file of a video, or its thumbnail',
        description:
          'Takes ranges. 409 while it is not made, with Retry-After; 410 when it is no longer kept. 302 to a link where Kinora keeps it in a bucket that clients reach.',
        tags,
        params: idSchema,
        querystring: contentSchema,
        produces: ['video/mp4', 'image/jpeg', 'application/json'],
        response: errors,
      },
    },
    async (request, reply) => {
      const entry = await openVideo(request, tools);
      return await sendContent(reply, entry, request.query.variant, tools);
    },
  );

  const sendEvents = eventStream(tools);
  app.get(
    '/v1/videos/:id/events',
    {
      config: { answers: [204] },
      schema: {
        summary: 'How a video comes along, as server-sent events',
        description:
          'position, phase, step, decoding, and at last done with the video. With Last-Event-ID from the next change on.',
        tags,
        params: idSchema,
        produces: ['text/event-stream', 'application/json'],
        response: errors,
      },
    },
    async (request, reply) => await sendEvents(request, reply, await openVideo(request, tools)),
  );
}

/** What is done with a video that there is. */
function changeRoutes(app: WebServer, tools: CreateTools, admitUpload: Gate): void {
  const { services, client } = tools;
  app.post(
    '/v1/videos/:id/remix',
    {
      bodyLimit: largestBody,
      onRequest: admitUpload,
      preValidation: readForm,
      schema: {
        summary: 'The same picture with another prompt',
        description: 'Whatever else is left out stays as it was, the seed and the mask too.',
        tags,
        params: idSchema,
        consumes: bodyTypes,
        headers: repeatableSchema,
        body: remixSchema,
        response: { 200: askedVideoSchema, ...errors },
      },
    },
    async (request) => {
      const entry = await openVideo(request, tools);
      return await remixVideo(request, entry, request.body, callerWith(request, 'use'), tools);
    },
  );
  app.post(
    '/v1/videos/extensions',
    {
      bodyLimit: largestBody,
      onRequest: admitUpload,
      preValidation: readForm,
      schema: {
        summary: 'The same video, and as long again',
        description: 'Goes on from its end without a seam, up to 60 s in all. Only the new part is paid for.',
        tags,
        consumes: bodyTypes,
        headers: repeatableSchema,
        body: extensionSchema,
        response: { 200: askedVideoSchema, ...errors },
      },
    },
    async (request) => {
      const entry = await namedVideo(request.body.video.id, request, tools);
      await assertCompleted(entry, client);
      return await extendVideo(request, entry, request.body, callerWith(request, 'use'), tools);
    },
  );
  app.post(
    '/v1/videos/:id/variation',
    {
      schema: {
        summary: 'The same video, a little or much different',
        tags,
        params: idSchema,
        headers: repeatableSchema,
        body: variationSchema,
        response: { 200: videoSchema, ...errors },
      },
    },
    async (request) => {
      const entry = await openVideo(request, tools);
      await assertCompleted(entry, client);
      return await varyVideo(request, entry, request.body, callerWith(request, 'use'), tools);
    },
  );
  app.post(
    '/v1/videos/:id/cancel',
    {
      config: { answers: [409] },
      schema: {
        summary: 'Stop a video that waits or is made',
        description: 'It fails with the code CANCELLED, at its next step at the latest, and costs nothing.',
        tags,
        params: idSchema,
        response: { 200: videoSchema, ...errors },
      },
    },
    async (request) => {
      const { id } = await openVideo(request, tools);
      const outcome = await services.buttons.cancel(id, callerWith(request, 'use').person);
      if (outcome.kind === 'refused') throw refusalProblem(outcome.reason);
      return await shownVideo(await openVideo(request, tools), request, tools);
    },
  );
  app.delete(
    '/v1/videos/:id',
    {
      schema: {
        summary: 'Remove a video and its files',
        description: 'One that waits or is made is cancelled first.',
        tags,
        params: idSchema,
        response: { 200: deletedSchema, ...errors },
      },
    },
    async (request) => {
      const entry = await openVideo(request, tools);
      await services.buttons.remove(entry);
      const { id } = entry;
      return { id, object: 'video.deleted' as const, deleted: true as const };
    },
  );
}

type Gate = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/** Refuses a body while too much is in hand. One that does not say its length may be as long as any. */
function uploadGate(): Gate {
  let inHand = 0;
  return async ({ headers }, reply) => {
    const bytes = Number(headers['content-length'] ?? largestBody);
    if (inHand + bytes > mostUploadedBytes) {
      throw new ProblemError({ kind: 'tooManyUploads', megabytes: Math.floor(mostUploadedBytes / 1e6) });
    }
    inHand += bytes;
    reply.raw.once('close', () => {
      inHand -= bytes;
    });
  };
}
