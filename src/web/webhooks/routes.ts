/** `/v1/webhooks`: where a person wants to be told that a video is over. */
import { z } from 'zod';
import { mostWebhooks, type Webhook, type Webhooks } from '../../queue/webhooks.ts';
import { callerWith } from '../caller.ts';
import type { Outgoing } from '../outgoing/outgoing.ts';
import { errorSchema, ProblemError } from '../problem.ts';
import type { WebServer } from '../web-server.ts';
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

export function webhookRoutes(app: WebServer, { webhooks, signer, outgoing }: WebhookTools): void {
  app.post(
    '/v1/webhooks',
    {
      schema: {
        summary: 'Be told when a video is over',
        description:
          'By the Standard Webhooks specification: video.completed and video.failed, for videos of the API.',
        tags,
        body: z.strictObject({ url: z.string().max(longestUrl) }),
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
      const webhook = await webhooks.read(id);
      if (webhook?.userKey !== callerWith(request, 'use').person.userKey) {
        throw new ProblemError({ kind: 'webhookNotFound' });
      }
      await webhooks.remove(id);
      return { id, object: 'webhook.deleted' as const, deleted: true as const };
    },
  );
}

function shown({ id, url, createdAt, isDisabled }: Webhook): z.infer<typeof webhookSchema> {
  return { id, object: 'webhook', url, created_at: Math.floor(createdAt / 1000), disabled: isDisabled };
}
