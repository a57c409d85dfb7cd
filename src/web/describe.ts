/** `/openapi.json`, and `/docs`, which shows it: what the routes' schemas say, and what holds for all routes. */

import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifySchema, RouteOptions } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { calledAs } from '../called-as.ts';
import { codesByStatus } from './problem.ts';
import type { WebServer } from './web-server.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Statuses of a route beside those that its parameters and body tell. */
    answers?: readonly number[];
  }
}

const title = 'Kinora';

/** Of the page that shows the document: everything comes from here, over HTTP as well as HTTPS. */
const pageCsp =
  "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const securitySchemes = {
  bearer: { type: 'http', scheme: 'bearer', description: `A key of "${calledAs('keys', 'create')}".` },
  apiKey: { type: 'apiKey', in: 'header', name: 'X-Api-Key' },
  session: {
    type: 'apiKey',
    in: 'cookie',
    name: 'kinora_session',
    description: 'Of a browser that has signed in by a link.',
  },
} as const;

export async function describeRoutes(app: WebServer): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title,
        description: 'Pictures brought to life: a photo and a prompt become an MP4.',
        version: '1',
      },
      components: { securitySchemes },
      security: [{ bearer: [] }, { apiKey: [] }, { session: [] }],
    },
    transform: (given) => {
      const { schema, url } = jsonSchemaTransform(given);
      return { url, schema: schema.hide ? schema : { ...schema, response: answersOf(schema, given.route) } };
    },
    transformObject: (given) => {
      const document: unknown = jsonSchemaTransformObject(given);
      return withoutUnused(withForms(document as Document)); // whose schemas are objects by now
    },
  });
  await app.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, isPublic: true };
    });
    await scope.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: pageCsp,
      theme: { title },
      uiConfig: { docExpansion: 'list', tryItOutEnabled: false },
    });
    scope.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
  });
}

type Described = FastifySchema & {
  readonly produces?: readonly string[];
  readonly security?: readonly unknown[];
};

const retryAfter = {
  'Retry-After': {
    schema: { type: 'integer', minimum: 1 },
    description: 'Seconds until it may help to ask again.',
  },
};
const withRetryAfter: readonly number[] = [409, 429, 503];
const errorContent = { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } };

/** Every status that a route may answer with. Its schema names the whole ranges of errors, which says nothing. */
function answersOf(schema: Described, { config }: RouteOptions): Record<string, unknown> {
  const { '4xx': _, '5xx': __, ...own } = (schema.response ?? {}) as Record<string, unknown>;
  if (config?.isForAnyHost) return own; // those who watch over Kinora get no errors of the API
  const files = (schema.produces ?? []).filter((type) => type !== 'application/json');
  const ofType = (type: string): object =>
    type === 'text/event-stream' ? {} : { schema: { type: 'string', format: 'binary' } };
  const file = Object.fromEntries(files.map((type) => [type, ofType(type)]));
  if (files.length > 0) own['200'] = { description: 'The file, or the stream.', content: file };
  const statuses = new Set([
    ...[400, 403, 429, 500, 503],
    ...(config?.isPublic ? [] : [401]),
    ...(schema.params ? [404] : []),
    ...(schema.body ? [413, 415] : []),
    // Requests that may be repeated are those for a video.
    ...(schema.headers ? [404, 409, 410, 413, 415, 422] : []),
    ...(config?.answers ?? []),
  ]);
  for (const status of [...statuses].toSorted((a, b) => a - b)) {
    if (status < 300) {
      own[status] = { description: status === 206 ? 'A part of the file.' : 'Nothing more follows.' };
      if (status === 206) Object.assign(own[status] as object, { content: file });
      continue;
    }
    if (status === 302) {
      own[status] = { description: 'Location is a link to the file, valid for some minutes.' };
      continue;
    }
    own[status] = {
      description: `The code is one of ${codesByStatus(status).join(', ')}.`,
      content: errorContent,
      ...(withRetryAfter.includes(status) ? { headers: retryAfter } : {}),
    };
  }
  return own;
}

interface Schema {
  readonly type?: string | undefined;
  readonly format?: string;
  readonly description?: string | undefined;
  readonly anyOf?: readonly Schema[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
}
interface Document {
  readonly paths?: Readonly<
    Record<
      string,
      Readonly<
        Record<
          string,
          {
            readonly requestBody?: {
              required?: boolean;
              readonly content: Record<string, { schema: Schema }>;
            };
          }
        >
      >
    >
  >;
  readonly components?: { readonly schemas?: Readonly<Record<string, object>> };
}

/** In a form, the picture is a file, and a number a text. A picture is needed, which one schema for both cannot say. */
function withForms(document: Document): Document {
  for (const operation of Object.values(document.paths ?? {}).flatMap(Object.values)) {
    const { 'multipart/form-data': form, 'application/json': json } = operation.requestBody?.content ?? {};
    // A body that may be null may be left out.
    if (operation.requestBody && json?.schema.anyOf?.some((schema: Schema) => schema.type === 'null')) {
      operation.requestBody.required = false;
    }
    if (!form || !json) continue;
    const { seconds, input_reference: picture, ...others } = form.schema.properties ?? {};
    const [text] = seconds?.anyOf ?? [];
    const required = picture ? { required: ['input_reference'] } : {};
    form.schema = {
      ...form.schema,
      ...required,
      properties: {
        ...others,
        seconds: { ...text, description: seconds?.description },
        ...(picture && {
          input_reference: { type: 'string', format: 'binary', description: picture.description },
        }),
      },
    };
    json.schema = { ...json.schema, ...required };
  }
  return document;
}

/** Each schema stands there twice, for what is sent and for what is answered; only those that are named are kept. */
function withoutUnused(document: Document): object {
  const { schemas = {}, ...components } = document.components ?? {};
  const used = new Set<string>();
  const look = (part: unknown): void => {
    for (const [, name = ''] of JSON.stringify(part).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (used.has(name)) continue;
      used.add(name);
      look(schemas[name] ?? {});
    }
  };
  look(document.paths ?? {});
  const kept = Object.fromEntries(Object.entries(schemas).filter(([name]) => used.has(name)));
  return { ...document, components: { ...components, schemas: kept } };
}
