/**
 * The HTTP server: everything that holds for all routes. Whoever calls needs a key or a session, errors have one shape and name no
 * path, bodies and times are limited, and zod schemas are validation, types and the OpenAPI document at once.
 */
import { randomUUID } from 'node:crypto';
import cookie from '@fastify/cookie';
import rateLimit from '@fastify/rate-limit';
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
import {
  hasZodFastifySchemaValidationErrors,
  serializerCompiler,
  validatorCompiler,
  type ZodFastifySchemaValidationError,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import type { Logger } from '../log.ts';
import { ApiKeys } from '../queue/api-keys.ts';
import { NewerRecord } from '../queue/contract.ts';
import type { Keys } from '../queue/keys.ts';
import { Profiles } from '../queue/profiles.ts';
import type { Redis } from '../queue/redis.ts';
import { Sessions } from '../queue/sessions.ts';
import { SignInLinks } from '../queue/sign-in-links.ts';
import { accountRoutes } from './account.ts';
import { adminRoutes } from './admin/routes.ts';
import { type CallLimits, defaultCallLimits, localeOf, requireCaller } from './caller.ts';
import { describeRoutes } from './describe.ts';
import { healthRoutes } from './health.ts';
import { keyRoutes } from './keys.ts';
import { modelRoutes } from './models.ts';
import { isNavigation, Origins, type OwnAddress } from './origin.ts';
import { pageRoutes } from './page-files.ts';
import { type HttpProblem, invalidParameter, type Problem, ProblemError, renderProblem } from './problem.ts';
import { signInRoutes } from './sign-in.ts';
import { studioRoutes } from './studio.ts';
import { unknownParameter } from './videos/body.ts';
import type { CreateTools } from './videos/create.ts';
import { videoRoutes } from './videos/routes.ts';
import { detailOf } from './videos/schemas.ts';
import { uploadRoutes } from './videos/uploads.ts';
import type { WebServer } from './web-server.ts';
import { type WebhookTools, webhookRoutes } from './webhooks/routes.ts';

export interface ServerLimits extends CallLimits {
  /** A client that has not sent its headers, or its whole request, in this time is cut off. */
  readonly headersMs: number;
  readonly requestMs: number;
}

export interface ServerTools {
  /** A fail-fast connection. */
  readonly redis: Redis;
  readonly keys: Keys;
  readonly log: Logger;
  readonly videos: CreateTools;
  readonly webhooks: WebhookTools;
  readonly address: OwnAddress;
  /** Whether a user of a chat is an admin of Kinora there, now. */
  readonly isAdmin: (userKey: string) => Promise<boolean>;
  /** Of the studio page, as it was built. */
  readonly pageFolder: string;
  readonly limits?: Partial<ServerLimits>;
}

const defaultLimits: ServerLimits = { ...defaultCallLimits, headersMs: 10_000, requestMs: 120_000 };
/** Of bodies without a picture. */
const bodyBytes = 64 * 1024;
/** An answer that nobody reads for so long is cut off. */
const silenceMs = 120_000;
const mostConnections = 2_000;
/** Node takes no more of all headers. */
const longestUrl = 16_384;
const jsonType = 'application/json; charset=utf-8';

/** Nothing of an answer may be kept, framed or taken for another type. */
const headersOfAll = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

/** A server that does not listen yet. */
export async function buildServer(tools: ServerTools): Promise<WebServer> {
  const limits = { ...defaultLimits, ...tools.limits };
  const app: WebServer = Fastify({
    logger: false,
    // The ids are ours: a client's own could be anything, also in our log.
    requestIdHeader: false,
    genReqId: () => randomUUID(),
    trustProxy: trustedProxies(tools.address),
    bodyLimit: bodyBytes,
    // Schemas limit them; what is longer would be refused before anybody has looked who calls.
    routerOptions: { maxParamLength: longestUrl },
    frameworkErrors: (_error: unknown, request: FastifyRequest, reply: FastifyReply) => {
      const { status, body } = renderProblem({ kind: 'badRequest' }, localeOf(request));
      return reply.code(status).headers(headersOfAll).type(jsonType).send(JSON.stringify(body));
    },
    requestTimeout: limits.requestMs,
    connectionTimeout: silenceMs,
    forceCloseConnections: true,
    http: {
      headersTimeout: limits.headersMs,
      connectionsCheckingInterval: Math.min(limits.headersMs, 5_000),
    },
  }).withTypeProvider<ZodTypeProvider>();
  app.server.maxConnections = mostConnections;
  app.removeContentTypeParser('text/plain');
  takeEmptyJson(app);
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ ...headersOfAll, 'x-request-id': request.id });
  });
  answerErrors(app, tools.log);
  await app.register(rateLimit, { global: false });
  await app.register(cookie);
  const { redis, keys, isAdmin } = tools;
  const sessions = new Sessions(redis, keys);
  const callers = {
    ...{ apiKeys: new ApiKeys(redis, keys), sessions, isAdmin },
    origins: new Origins(tools.address),
  };
  requireCaller(app, callers, limits);
  await describeRoutes(app);
  const refuseOtherMethods = methodsOfRoutes(app);
  const sendNotFound = await pageRoutes(app, tools.pageFolder);
  app.setNotFoundHandler((request, reply) => {
    if (sendNotFound && isNavigation(request)) return sendNotFound(request, reply);
    throw new ProblemError({ kind: 'notFound' });
  });
  healthRoutes(app, redis, keys);
  await videoRoutes(app, tools.videos);
  uploadRoutes(app, tools.videos);
  studioRoutes(app, { redis, ...tools.videos });
  modelRoutes(app, tools.videos);
  webhookRoutes(app, tools.webhooks);
  const { account, administration } = tools.videos.services;
  accountRoutes(app, account);
  const profiles = new Profiles(redis, keys);
  signInRoutes(app, { ...callers, account, profiles, links: new SignInLinks(redis, keys) });
  keyRoutes(app, callers.apiKeys);
  const { client, artifacts } = tools.videos;
  await adminRoutes(app, { administration, client, artifacts, redis, keys });
  refuseOtherMethods();
  return app;
}

/**
 * Who may tell whose address it is: a proxy on this machine, and where one brings TLS, also a proxy on a private network
 * such as that of containers.
 */
const trustedProxies = ({ publicUrl }: OwnAddress): string[] =>
  publicUrl?.startsWith('https:') ? ['loopback', 'linklocal', 'uniquelocal'] : ['loopback'];

/** @returns what answers 405 where a route has other methods, to be called when all routes are there */
function methodsOfRoutes(app: WebServer): () => void {
  const methods = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method, schema }) => {
    if (schema?.hide) return;
    const own = methods.get(url) ?? new Set();
    methods.set(url, own);
    for (const one of [method].flat()) own.add(one.toUpperCase());
  });
  return () => {
    for (const [url, own] of methods) {
      const allow = [...own].join(', ');
      app.route({
        url,
        method: app.supportedMethods.filter((method) => !own.has(method)),
        schema: { hide: true },
        // Before a body is read; whoever calls has been looked at.
        onRequest: async (_request, reply) => {
          reply.header('allow', allow);
          throw new ProblemError({ kind: 'methodNotAllowed' });
        },
        handler: () => {},
      });
    }
  };
}

/** Clients name the type of a body also where they send none: PyPI "openai" does so with DELETE. */
function takeEmptyJson(app: WebServer): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') return done(null, undefined);
    return parse(request, String(body), done);
  });
}

function answerErrors(app: WebServer, log: Logger): void {
  app.setErrorHandler((error, request, reply) => {
    const problem = problemOf(error);
    const { status, body, retryAfterSeconds } = renderProblem(problem, localeOf(request));
    if (status >= 500 && problem.kind === 'failure') {
      log.error(
        { requestId: request.id, route: request.routeOptions.url, err: error },
        'a call of the API failed',
      );
    }
    if (retryAfterSeconds !== undefined) reply.header('retry-after', retryAfterSeconds);
    if (status === 401) reply.header('www-authenticate', 'Bearer');
    // Without its own serializer: the body has been made here.
    return reply.code(status).type(jsonType).serializer(JSON.stringify).send(body);
  });
}

/** What a status of Fastify and its plugins means. */
const problemsByStatus: Readonly<Record<number, HttpProblem>> = {
  404: 'notFound',
  413: 'bodyTooLarge',
  415: 'mediaType',
  416: 'range',
};

function problemOf(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem;
  if (error instanceof NewerRecord) return { kind: 'unavailable' }; // a bot of that version is about to be back
  if (hasZodFastifySchemaValidationErrors(error)) {
    const [first] = error.validation;
    return first ? invalidInput(first) : { kind: 'badRequest' };
  }
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500;
  const kind = problemsByStatus[status] ?? (status >= 400 && status < 500 ? 'badRequest' : undefined);
  if (kind) return { kind };
  return { kind: 'failure', failure: { code: 'INTERNAL', message: '' } };
}

/** A parameter that its schema does not allow, by the first one of a call. */
function invalidInput({ instancePath, keyword, params }: ZodFastifySchemaValidationError): Problem {
  const unknown = keyword === 'unrecognized_keys' ? params['keys'] : undefined;
  if (Array.isArray(unknown)) return unknownParameter(String(unknown[0])).problem;
  const param = instancePath.split('/')[1];
  if (!param) return { kind: 'badRequest' };
  const detail = detailOf(param);
  return detail ? invalidParameter(param, detail).problem : { kind: 'badRequest', param };
}
