/** `/v1/webhooks`: where a person wants to be told that a video is over. */
import { randomUUID } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { mostWebhooks, type Webhook, type Webhooks } from '../../queue/webhooks.ts';
import { callerWith } from '../caller.ts';
import type { Outgoing } from '../outgoing/outgoing.ts';
import { errorSchema, ProblemError } from '../problem.ts';
import type { WebServer } from '../web-server.ts';
import { post, signedMessage } from './sender.ts';
import type { WebhookSigner } from './signing.ts';

export interface WebhookTools {
  readonly webhooks: Webhooks;
  readonly signer: WebhookSigner;
  readonly outgoing: Outgoing;
}

const tags = ['webhooks'];
const errors = { '4xx': errorSchema, '5xx': errorSchema } as const;
const longestUrl = 2_000;

const webhookSchema = z.object({
  id: z.string(),
  object: z.literal('webhook'),
  url: z.string(),
  created_at: z.int(),
  disabled: z.boolean().describe('Its server answered 410; it is called no more.'),
});
const createdSchema = webhookSchema.extend({
  secret: z.string().describe('For its signatures. Shown once.'),
});

const testedSchema = z.object({
  id: z.string(),
  delivered: z.boolean(),
  status: z.int().nullable().describe('What the server answered with; null where no answer came.'),
});
export type ListedWebhook = z.infer<typeof webhookSchema>;
const testsAMinute = 10;

/** Posts a message of the type webhook.test at once, and tells how it was answered. */
function testRoute(app: WebServer, { webhooks, signer, outgoing }: WebhookTools): void {
  const check = app.createRateLimit({
    max: testsAMinute,
    timeWindow: 60_000,
    keyGenerator: ({ caller }) => `webhook test ${caller?.person.userKey ?? ''}`,
  });
  app.post(
    '/v1/webhooks/:id/test',
    {
      schema: {
        summary: 'Try a webhook',
        description: 'Posts a message of the type webhook.test at once, and tells how it was answered.',
        tags,
        params: z.object({ id: z.string().max(200) }),
        response: { 200: testedSchema, ...errors },
      },
    },
    async (request) => {
      const { id } = request.params;
      const webhook = await ownWebhook(request, webhooks, id);
      const limit = await check(request);
      if (!limit.isAllowed && limit.isExceeded) {
        const window = { calls: testsAMinute, seconds: 60, retryAfterMs: limit.ttl };
        throw new ProblemError({ kind: 'rateLimited', ...window });
      }
      const sentAt = await webhooks.time();
      const { body, headers } = signedMessage(signer, id, `msg_${randomUUID()}`, {
        type: 'webhook.test',
        timestamp: new Date(sentAt).toISOString(),
        data: { id, object: 'webhook' },
        sentAt,
      });
      const status = await post(outgoing, webhook.url, body, headers).catch(() => null);
      return { id, delivered: status !== null && status >= 200 && status < 300, status };
    },
  );
}

/** @throws ProblemError where the caller has no such webhook */
async function ownWebhook(request: FastifyRequest, webhooks: Webhooks, id: string): Promise<Webhook> {
  const webhook = await webhooks.read(id);
  if (webhook?.userKey === callerWith(request, 'use').person.userKey) return webhook;
  throw new ProblemError({ kind: 'webhookNotFound' });
}

export function webhookRoutes(app: WebServer, tools: WebhookTools): void {
  const { webhooks, signer, outgoing } = tools;
  testRoute(app, tools);
  app.post(
    '/v1/webhooks',
    {
      config: { answers: [409] },
      schema: {
        summary: 'Be told when a video is over',
        description:
          'By the Standard Webhooks specification: video.completed and video.failed, for videos of the API.',
        tags,
        body: z.strictObject({
          url: z.string().max(longestUrl).meta({ pattern: '^https?://' }),
        }),
        response: { 200: createdSchema, ...errors },
      },
    },
    async (request) => {
      const { userKey } = callerWith(request, 'use').person;
      const { url } = request.body;
      if (outgoing.objectionTo(url)) throw new ProblemError({ kind: 'webhookUrl', param: 'url' });
      if ((await webhooks.of(userKey)).length >= mostWebhooks)
        throw new ProblemError({ kind: 'webhookLimit' });
      const webhook = await webhooks.create(userKey, url);
      return { ...shown(webhook), secret: signer.secretOf(webhook.id) };
    },
  );
  app.get(
    '/v1/webhooks',
    {
      schema: {
        summary: 'Where one is told',
        tags,
        response: { 200: z.object({ object: z.literal('list'), data: z.array(webhookSchema) }), ...errors },
      },
    },
    async (request) => {
      const all = await webhooks.of(callerWith(request, 'use').person.userKey);
      return { object: 'list' as const, data: all.map(shown) };
    },
  );
  app.delete(
    '/v1/webhooks/:id',
    {
      schema: {
        summary: 'Be told no more',
        tags,
        params: z.object({ id: z.string().max(200) }),
        response: {
          200: z.object({ id: z.string(), object: z.literal('webhook.deleted'), deleted: z.literal(true) }),
          ...errors,
        },
      },
    },
    async (request) => {
      const { id } = request.params;
      await ownWebhook(request, webhooks, id);
      await webhooks.remove(id);
      return { id, object: 'webhook.deleted' as const, deleted: true as const };
    },
  );
}

function shown({ id, url, createdAt, isDisabled }: Webhook): z.infer<typeof webhookSchema> {
  return { id, object: 'webhook', url, created_at: Math.floor(createdAt / 1000), disabled: isDisabled };
}
