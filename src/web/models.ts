/** `/v1/models`: the models that can be asked for now. */
import { z } from 'zod';
import type { Models } from '../bot/models.ts';
import type { JobClient } from '../queue/client.ts';
import { presetNames } from '../request/presets.ts';
import { callerWith } from './caller.ts';
import { errorSchema } from './problem.ts';
import { attributionSchema, ignoredBy, ignoredSchema } from './studio.ts';
import type { WebServer } from './web-server.ts';

export const modelListSchema = z
  .object({
    object: z.literal('list'),
    data: z
      .array(
        z.object({
          id: z.string().describe('What `model` of a request may be.'),
          object: z.literal('model'),
          owned_by: z.literal('kinora'),
          title: z.string(),
          licence: z.string(),
          attribution: attributionSchema,
          is_default: z.boolean().describe('It makes the videos that name no model.'),
          credits: z.record(z.enum(presetNames), z.number()).describe('By preset.'),
          ignored: ignoredSchema,
        }),
      )
      .describe('The default first.'),
  })
  .meta({ id: 'ModelList' });

export function modelRoutes(
  app: WebServer,
  { models, client }: { readonly models: Models; readonly client: JobClient },
): void {
  app.get(
    '/v1/models',
    {
      schema: {
        summary: 'The models that can be asked for now',
        tags: ['studio'],
        response: { 200: modelListSchema, '4xx': errorSchema, '5xx': errorSchema },
      },
    },
    async (request) => {
      callerWith(request, 'use');
      return {
        object: 'list' as const,
        data: models.offered.map((model, place) => ({
          id: model.id,
          object: 'model' as const,
          owned_by: 'kinora' as const,
          title: model.title,
          licence: model.licence,
          attribution: model.attribution ?? null,
          is_default: place === 0,
          credits: creditsOf(model.id, client),
          ignored: ignoredBy(model),
        })),
      };
    },
  );
}

function creditsOf(model: string, client: JobClient): Record<(typeof presetNames)[number], number> {
  const costOf = (preset: string): number =>
    client.costOf({ generation: { prompt: '', preset, seed: 0 }, model });
  return {
    fast: costOf('fast'),
    standard: costOf('standard'),
    high: costOf('high'),
    creative: costOf('creative'),
  };
}
