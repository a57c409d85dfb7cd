/** What a library adds to the videos: favourites, what was made of what, and the same again in other ways. */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { LedgerEntry } from '../../queue/ledger.ts';
import { callerWith } from '../caller.ts';
import { errorSchema, ProblemError, refusalProblem } from '../problem.ts';
import type { WebServer } from '../web-server.ts';
import { assertCompleted } from './content.ts';
import { type CreateTools, rerollVideo } from './create.ts';
import { openVideo, shownVideo } from './open-video.ts';
import { idSchema, lineageSchema, repeatableSchema, videoSchema } from './schemas.ts';

const tags = ['videos'];
const errors = { '4xx': errorSchema, '5xx': errorSchema } as const;
/** Nothing is posted anywhere, so a file may have any size. */
const anySize = Number.MAX_SAFE_INTEGER;

export function libraryRoutes(app: WebServer, tools: CreateTools): void {
  favouriteRoutes(app, tools);
  transformRoutes(app, tools);
  app.get(
    '/v1/videos/:id/lineage',
    {
      schema: {
        summary: 'What a video was made from, and what was made from it',
        tags,
        params: idSchema,
        response: { 200: lineageSchema, ...errors },
      },
    },
    async (request) => {
      const { entries, isTruncated } = await tools.client.history.family(await openVideo(request, tools));
      const data = await Promise.all(entries.map((entry) => shownVideo(entry, request, tools)));
      return { object: 'lineage' as const, data, truncated: isTruncated };
    },
  );
  app.post(
    '/v1/videos/:id/reroll',
    {
      schema: {
        summary: 'The same request with another seed',
        tags,
        params: idSchema,
        headers: repeatableSchema,
        body: z.strictObject({}).nullish(),
        response: { 200: videoSchema, ...errors },
      },
    },
    async (request) => {
      const entry = await openVideo(request, tools);
      return await rerollVideo(request, entry, callerWith(request, 'use'), tools);
    },
  );
}

function favouriteRoutes(app: WebServer, tools: CreateTools): void {
  for (const [method, isFavourite, summary] of [
    ['PUT', true, "Make a video one of one's favourites"],
    ['DELETE', false, 'Make it a favourite no longer'],
  ] as const) {
    app.route({
      method,
      url: '/v1/videos/:id/favourite',
      schema: {
        summary,
        description: 'A favourite is kept no longer than any other video.',
        tags,
        params: idSchema,
        body: z.strictObject({}).nullish(),
        response: { 200: videoSchema, ...errors },
      },
      handler: async (request) => {
        const entry = await openVideo(request, tools);
        const { userKey } = callerWith(request, 'use').person;
        const now = await tools.client.time();
        const isDone = await tools.client.ledger.setFavourite(entry.id, userKey, isFavourite, now);
        if (!isDone) throw new ProblemError({ kind: 'videoNotFound' });
        return await shownVideo(await openVideo(request, tools), request, tools);
      },
    });
  }
}

/** What is being made for a person; the same wish, sent again, waits for the same. */
interface Underway {
  readonly what: string;
  readonly done: Promise<void>;
}

function transformRoutes(app: WebServer, tools: CreateTools): void {
  const underway = new Map<string, Underway>();
  const make = async (entry: LedgerEntry, action: 'smooth' | 'loop'): Promise<void> => {
    const outcome = await tools.services.buttons.transform(entry, action, anySize, async () => undefined);
    if (outcome) throw refusalProblem(outcome.reason);
  };
  for (const [action, summary] of [
    ['smooth', 'Three times as many frames, of the finished video'],
    ['loop', 'The finished video forwards, then backwards'],
  ] as const) {
    app.post(
      `/v1/videos/:id/${action}`,
      {
        config: { answers: [409, 410] },
        schema: {
          summary,
          description: `It costs nothing, takes some seconds, and is fetched as /content?variant=${action}.`,
          tags,
          params: idSchema,
          body: z.strictObject({}).nullish(),
          response: { 200: videoSchema, ...errors },
        },
      },
      async (request: FastifyRequest<{ Params: { id: string } }>) => {
        const entry = await openVideo(request, tools);
        await assertCompleted(entry, tools.client);
        const { userKey } = callerWith(request, 'use').person;
        const what = `${action} ${entry.id}`;
        const before = underway.get(userKey);
        if (before && before.what !== what) throw new ProblemError({ kind: 'transforming' });
        const done = before?.done ?? make(entry, action).finally(() => underway.delete(userKey));
        underway.set(userKey, { what, done });
        await done;
        return await shownVideo(await openVideo(request, tools), request, tools);
      },
    );
  }
}
