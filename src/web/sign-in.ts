/** `/v1/sign-in`, `/v1/sessions` and `/v1/me`: how a browser becomes somebody, and ends being it. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Account } from '../bot/account.ts';
import { apiKeyScopes } from '../queue/api-keys.ts';
import { nameIn, type Profiles } from '../queue/profiles.ts';
import { type Session, sessionMs } from '../queue/sessions.ts';
import { ownerKey, type SignInLink, type SignInLinks } from '../queue/sign-in-links.ts';
import { type Caller, type CallerTools, callerOf, sessionIn } from './caller.ts';
import { cookieNames } from './origin.ts';
import { errorSchema, ProblemError, refusalProblem } from './problem.ts';
import type { WebServer } from './web-server.ts';

const tags = ['account'];
const errors = { '4xx': errorSchema, '5xx': errorSchema } as const;
/** Longer than any token. */
const tokenSchema = z.string().max(100).describe('What stands behind the # of the link.');
const platformDescription = 'discord, telegram, or web for those who are in no chat.';

const linkSchema = z.object({
  object: z.literal('sign_in'),
  platform: z.string().describe(platformDescription),
  name: z.string().nullable(),
  needs_name: z.boolean().describe('A name must be chosen with the sign-in.'),
  is_owner: z.boolean(),
  expires_at: z.string(),
});
const meSchema = z.object({
  object: z.literal('me'),
  user: z.string().describe('As admins name them: "discord:8035".'),
  platform: z.string().describe(platformDescription),
  name: z.string().nullable(),
  locale: z.string().describe('As the chat tells it, else as Accept-Language does.'),
  scopes: z.array(z.enum(apiKeyScopes)),
  credits: z.object({ per_day: z.number(), used: z.number(), granted: z.number(), left: z.number() }),
  session: z.object({
    kind: z.enum(['session', 'key']),
    id: z.string(),
    created_at: z.string(),
    expires_at: z.string().nullable(),
  }),
});
const sessionSchema = z.object({
  id: z.string(),
  created_at: z.string(),
  expires_at: z.string(),
  browser: z.string(),
  is_current: z.boolean(),
});

export type ShownLink = z.infer<typeof linkSchema>;
export type Me = z.infer<typeof meSchema>;
export type ListedSession = z.infer<typeof sessionSchema>;

export interface SignInTools extends CallerTools {
  readonly links: SignInLinks;
  readonly profiles: Profiles;
  readonly account: Account;
}

export function signInRoutes(app: WebServer, tools: SignInTools): void {
  linkRoutes(app, tools);
  sessionRoutes(app, tools);
  app.get(
    '/v1/me',
    { schema: { summary: 'Who one is, and what one may do', tags, response: { 200: meSchema, ...errors } } },
    async (request) => await meOf(anyCaller(request), tools),
  );
}

function linkRoutes(app: WebServer, tools: SignInTools): void {
  const { links, profiles } = tools;
  app.post(
    '/v1/sign-in/look',
    {
      config: { isPublic: true, answers: [410] },
      schema: {
        summary: 'Whom a sign-in link is for, without using it up',
        tags,
        security: [],
        body: z.strictObject({ token: tokenSchema }),
        response: { 200: linkSchema, ...errors },
      },
    },
    async (request) => {
      const link = await answered(links.look(request.body.token));
      if (!link) throw new ProblemError({ kind: 'linkUsed' });
      const name = await answered(nameFor(link, profiles));
      return {
        object: 'sign_in' as const,
        platform: platformOf(link.userKey ?? 'web:'),
        name: name ?? null,
        needs_name: needsName(link, name),
        is_owner: link.userKey === ownerKey,
        expires_at: new Date(link.expiresAt).toISOString(),
      };
    },
  );
  app.post(
    '/v1/sign-in',
    {
      config: { isPublic: true, answers: [410] },
      schema: {
        summary: 'Sign a browser in by a link',
        description: 'Uses the link up. The session comes as a cookie, for 30 days.',
        tags,
        security: [],
        body: z.strictObject({ token: tokenSchema, name: z.string().optional() }),
        response: { 200: meSchema, ...errors },
      },
    },
    async (request, reply) => await answered(signIn(request, reply, request.body, tools)),
  );
}

async function signIn(
  request: FastifyRequest,
  reply: FastifyReply,
  body: { readonly token: string; readonly name?: string | undefined },
  tools: SignInTools,
): Promise<z.infer<typeof meSchema>> {
  const { links, profiles, sessions, origins } = tools;
  const found = await links.look(body.token);
  if (!found) throw new ProblemError({ kind: 'linkUsed' });
  const known = await nameFor(found, profiles);
  const name = needsName(found, known) ? chosenName(body.name) : known;
  const link = await links.use(body.token);
  if (!link) throw new ProblemError({ kind: 'linkUsed' });
  const { userKey, scopes, locale } = link;
  // Who signed in here before is signed out, so that nobody's session goes on as another's.
  const { id, userKey: formerKey } = (await sessionIn(request, tools)) ?? { id: '', userKey };
  await sessions.revoke(formerKey, id);
  const browser = request.headers['user-agent'] ?? '';
  const { session, token } = await sessions.create({ userKey, scopes, browser });
  if (name !== undefined) await profiles.store(userKey, { name, ...(locale ? { locale } : {}) });
  const cookie = origins.cookieFor(request);
  reply.setCookie(cookie.name, token, { ...cookieOptions(cookie.isSecure), maxAge: sessionMs / 1000 });
  return await meOf(await callerOf(session, request, tools), tools);
}

const cookieOptions = (secure: boolean) =>
  ({ path: '/', httpOnly: true, sameSite: 'strict', secure }) as const;

async function nameFor(link: SignInLink, profiles: Profiles): Promise<string | undefined> {
  if (link.name !== undefined || link.userKey === undefined) return link.name;
  return (await profiles.read(link.userKey))?.name;
}

const needsName = ({ userKey }: SignInLink, name: string | undefined): boolean =>
  name === undefined && userKey !== ownerKey;

/** @throws ProblemError */
function chosenName(text = ''): string {
  const name = nameIn(text);
  if (name === undefined) throw new ProblemError({ kind: 'nameNeeded', param: 'name' });
  return name;
}

function sessionRoutes(app: WebServer, { sessions }: SignInTools): void {
  app.get(
    '/v1/sessions',
    {
      schema: {
        summary: 'Where one is signed in',
        tags,
        response: { 200: z.object({ data: z.array(sessionSchema) }), ...errors },
      },
    },
    async (request) => {
      const { id, person } = anyCaller(request);
      const all = await answered(sessions.of(person.userKey));
      return { data: all.map((session) => ({ ...shown(session), is_current: session.id === id })) };
    },
  );
  app.delete(
    '/v1/sessions/:id',
    {
      schema: {
        summary: 'Sign out in one place',
        description: 'current: the session that asks.',
        tags,
        params: z.object({ id: z.string().max(100) }),
        response: { 200: z.object({ deleted: z.int() }), ...errors },
      },
    },
    async (request, reply) => {
      const { by, person } = anyCaller(request);
      const own = by.kind === 'session' ? by.session.id : undefined;
      const { id } = request.params;
      const wanted = id === 'current' ? own : id;
      const isRevoked = wanted !== undefined && (await answered(sessions.revoke(person.userKey, wanted)));
      if (!isRevoked) throw new ProblemError({ kind: 'sessionNotFound' });
      if (wanted === own) forgetCookies(reply);
      return { deleted: 1 };
    },
  );
  app.delete(
    '/v1/sessions',
    {
      schema: {
        summary: 'Sign out everywhere',
        description: 'Here, too. Keys stay.',
        tags,
        response: { 200: z.object({ deleted: z.int() }), ...errors },
      },
    },
    async (request, reply) => {
      const { userKey } = anyCaller(request).person;
      const deleted = await answered(sessions.revokeOf(userKey));
      forgetCookies(reply);
      return { deleted };
    },
  );
}

const shown = ({ id, createdAt, expiresAt, browser }: Session) => ({
  id,
  created_at: new Date(createdAt).toISOString(),
  expires_at: new Date(expiresAt).toISOString(),
  browser,
});

function forgetCookies(reply: FastifyReply): void {
  for (const [name, isSecure] of cookieNames) reply.clearCookie(name, cookieOptions(isSecure));
}

/** @throws ProblemError */
function anyCaller({ caller }: FastifyRequest): Caller {
  if (!caller) throw new ProblemError({ kind: 'invalidKey' });
  return caller;
}

async function meOf(
  { person, scopes, by }: Caller,
  { account, profiles }: SignInTools,
): Promise<z.infer<typeof meSchema>> {
  const view = await account.me(person, { maxBytes: 0 });
  if (view.kind === 'refused') throw refusalProblem(view.reason);
  const { limit, used, granted } = view.quota;
  const { userKey } = person;
  const profile = await answered(profiles.read(userKey));
  const held = by.kind === 'session' ? by.session : by.key;
  return {
    object: 'me',
    user: userKey,
    platform: platformOf(userKey),
    name: profile?.name ?? null,
    locale: profile?.locale ?? person.locale,
    scopes: [...scopes],
    credits: { per_day: limit, used, granted, left: Math.max(0, limit - used) + granted },
    session: {
      kind: by.kind,
      id: held.id,
      created_at: new Date(held.createdAt).toISOString(),
      expires_at: 'expiresAt' in held ? new Date(held.expiresAt).toISOString() : null,
    },
  };
}

const platformOf = (userKey: string): string => userKey.split(':')[0] ?? '';

/** @throws ProblemError when Redis does not answer */
async function answered<T>(asked: Promise<T>): Promise<T> {
  return await asked.catch((error: unknown) => {
    throw error instanceof ProblemError ? error : new ProblemError({ kind: 'unavailable' });
  });
}
