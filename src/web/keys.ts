/**
 * `/v1/keys`: the keys that people make for themselves on the studio page. Only a session may: whoever finds a key could
 * else make another, which lives on when the first is revoked.
 */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type ApiKey, type ApiKeyScope, type ApiKeys, apiKeyScopes } from '../queue/api-keys.ts';
import { nameIn } from '../queue/profiles.ts';
import type { Session } from '../queue/sessions.ts';
import { errorSchema, ProblemError } from './problem.ts';
import type { WebServer } from './web-server.ts';

const tags = ['account'];
const errors = { '4xx': errorSchema, '5xx': errorSchema } as const;
/** Of one person. */
const mostKeys = 20;

const keySchema = z.object({
  id: z.string(),
  name: z.string(),
  scopes: z.array(z.enum(apiKeyScopes)),
  created_at: z.string(),
});
const listSchema = z.object({
  data: z.array(keySchema),
  scopes: z.array(z.enum(apiKeyScopes)).describe('What a key that is made here may be allowed.'),
});
export type OwnKey = z.infer<typeof keySchema>;
export type OwnKeys = z.infer<typeof listSchema>;

export function keyRoutes(app: WebServer, apiKeys: ApiKeys): void {
  const of = async (userKey: string): Promise<ApiKey[]> =>
    (await orUnavailable(apiKeys.list())).filter((key) => key.userKey === userKey);
  app.get(
    '/v1/keys',
    {
      schema: { summary: "One's own keys, oldest first", tags, response: { 200: listSchema, ...errors } },
    },
    async (request) => {
      const session = sessionOf(request);
      const keys = await of(session.userKey);
      return { data: keys.map(shown), scopes: allowedScopes(session) };
    },
  );
  app.post(
    '/v1/keys',
    {
      config: { answers: [409] },
      schema: {
        summary: 'Make a key for oneself',
        description:
          'With the scope admin only where the session was given it, not where a chat makes one an admin.',
        tags,
        body: z.strictObject({
          name: z.string().max(1_000).describe('1 to 64 characters.'),
          scopes: z.array(z.enum(apiKeyScopes)).min(1).max(apiKeyScopes.length).default(['use']),
        }),
        response: { 200: keySchema.extend({ key: z.string().describe('Shown once.') }), ...errors },
      },
    },
    async (request) => {
      const session = sessionOf(request);
      const { scopes } = request.body;
      const name = nameIn(request.body.name);
      if (name === undefined) throw new ProblemError({ kind: 'nameNeeded', param: 'name' });
      const allowed = allowedScopes(session);
      if (!scopes.every((scope) => allowed.includes(scope))) throw new ProblemError({ kind: 'wrongScope' });
      if ((await of(session.userKey)).length >= mostKeys) throw new ProblemError({ kind: 'keyLimit' });
      const wanted = { name, scopes: [...new Set(scopes)], userKey: session.userKey };
      const { key, token } = await orUnavailable(apiKeys.create(wanted));
      return { ...shown(key), key: token };
    },
  );
  app.delete(
    '/v1/keys/:id',
    {
      schema: {
        summary: 'Revoke a key of oneself',
        tags,
        params: z.object({ id: z.string().max(100) }),
        response: { 200: z.object({ id: z.string(), deleted: z.literal(true) }), ...errors },
      },
    },
    async (request) => {
      const { id } = request.params;
      const isOwn = (await of(sessionOf(request).userKey)).some((key) => key.id === id);
      if (!isOwn || !(await orUnavailable(apiKeys.revoke(id)))) {
        throw new ProblemError({ kind: 'keyNotFound' });
      }
      return { id, deleted: true as const };
    },
  );
}

/** @throws ProblemError for callers with a key */
function sessionOf({ caller }: FastifyRequest): Session {
  if (caller?.by.kind === 'session') return caller.by.session;
  throw new ProblemError({ kind: caller ? 'sessionNeeded' : 'invalidKey' });
}

/** Who is an admin of a chat is asked at each call of the session, which a key would outlive. */
const allowedScopes = ({ scopes }: Session): ApiKeyScope[] =>
  apiKeyScopes.filter((scope) => scope === 'use' || scopes.includes(scope));

const shown = ({ id, name, scopes, createdAt }: ApiKey): OwnKey => ({
  id,
  name,
  scopes: [...scopes],
  created_at: new Date(createdAt).toISOString(),
});

/** @throws ProblemError when Redis does not answer */
async function orUnavailable<T>(asked: Promise<T>): Promise<T> {
  return await asked.catch(() => {
    throw new ProblemError({ kind: 'unavailable' });
  });
}
