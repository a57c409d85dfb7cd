/** `/v1/admin/rules`: the rules of communities, which their moderators set in the chat. */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { MisunderstoodRule, RuleCommand } from '../../bot/admin/rule-commands.ts';
import { type CommunityRules, mostNamed } from '../../bot/admin/rules.ts';
import type { RuleOutcome } from '../../bot/admin/run-rule-command.ts';
import type { Place } from '../../bot/people.ts';
import { rulesOfAll } from '../../queue/community-rules.ts';
import { presetNames } from '../../request/presets.ts';
import { callerWith } from '../caller.ts';
import { invalidParameter, ProblemError, refusalProblem } from '../problem.ts';
import type { WebServer } from '../web-server.ts';
import { type AdminRouteTools, errors, orUnavailable, tags } from './run.ts';

const keySchema = z
  .string()
  .regex(/^[a-z]+:-?\d{1,32}$/)
  .describe('"discord:8035"');
const paramsSchema = z.object({ community: keySchema });
const namedSchema = z.array(keySchema).max(mostNamed);
const rulesSchema = z.object({
  community: z.string(),
  channels: z.array(z.string()).describe('Where requests are taken; empty: everywhere.'),
  roles: z.array(z.string()).describe('Of which a person needs one; empty: none.'),
  spoiler: z.boolean().describe('Videos are posted covered.'),
  age: z.boolean().describe('Only where the channel is age-restricted.'),
  as_channel: z.boolean().describe('Requests in the name of a channel are taken.'),
  preset: z.enum([...presetNames, 'any']).describe('Requests with more work than this are refused.'),
  words: z.array(z.string()).describe('Blocked words and patterns.'),
});
export type ShownRules = z.infer<typeof rulesSchema>;
const wordsSchema = z.string().max(2_000);
const changeSchema = z.strictObject({
  channels: namedSchema.optional(),
  roles: namedSchema.optional(),
  spoiler: z.boolean().optional(),
  age: z.boolean().optional(),
  as_channel: z.boolean().optional(),
  preset: z.enum([...presetNames, 'any']).optional(),
  add_words: wordsSchema.optional().describe('Words, or /patterns/, with spaces between.'),
  remove_words: wordsSchema.optional(),
});
type Change = z.infer<typeof changeSchema>;

export function ruleRoutes(app: WebServer, tools: AdminRouteTools): void {
  app.get(
    '/v1/admin/rules',
    {
      schema: {
        summary: 'Communities that have rules',
        tags,
        response: { 200: z.object({ data: z.array(z.string()) }), ...errors },
      },
    },
    async () => {
      return { data: await orUnavailable(rulesOfAll(tools.redis, tools.keys)) };
    },
  );
  app.get(
    '/v1/admin/rules/:community',
    {
      schema: {
        summary: 'Rules of a community',
        tags,
        params: paramsSchema,
        response: { 200: rulesSchema, ...errors },
      },
    },
    async (request) => {
      const { community } = request.params;
      return shown(community, await rulesNow(request, tools, community));
    },
  );
  app.patch(
    '/v1/admin/rules/:community',
    {
      schema: {
        summary: 'Change rules of a community',
        description: 'What is left out stays as it is.',
        tags,
        params: paramsSchema,
        body: changeSchema,
        response: { 200: rulesSchema, ...errors },
      },
    },
    async (request) => {
      const { community } = request.params;
      const before = await rulesNow(request, tools, community);
      for (const [param, command] of commandsFor(request.body, before)) {
        refuse(param, await carryOut(request, tools, community, command));
      }
      return shown(community, await rulesNow(request, tools, community));
    },
  );
}

function shown(community: string, rules: CommunityRules): ShownRules {
  const { channels, roles, words, isSpoiler, isAgeRestrictedOnly, isAsChannelAllowed, maxPreset } = rules;
  return {
    community,
    ...{ channels: [...channels], roles: [...roles], words: [...words] },
    ...{ spoiler: isSpoiler, age: isAgeRestrictedOnly, as_channel: isAsChannelAllowed },
    preset: maxPreset ?? 'any',
  };
}

/** The commands that moderators would write for this, each with the parameter that it comes from. */
function* commandsFor(change: Change, before: CommunityRules): Generator<[keyof Change, RuleCommand]> {
  for (const what of ['channels', 'roles'] as const) {
    const wanted = change[what];
    if (!wanted) continue;
    const removed = before[what].filter((key) => !wanted.includes(key));
    const added = wanted.filter((key) => !before[what].includes(key));
    if (removed.length > 0) yield [what, { kind: 'clear', what, keys: removed }];
    if (added.length > 0) yield [what, { kind: 'allow', what, keys: added }];
  }
  for (const [param, what] of [
    ['spoiler', 'spoiler'],
    ['age', 'age'],
    ['as_channel', 'aschannel'],
  ] as const) {
    const isOn = change[param];
    if (isOn !== undefined) yield [param, { kind: 'toggle', what, isOn }];
  }
  if (change.preset !== undefined) yield ['preset', { kind: 'limitPreset', preset: change.preset }];
  if (change.remove_words) yield ['remove_words', { kind: 'removeWords', text: change.remove_words }];
  if (change.add_words) yield ['add_words', { kind: 'addWords', text: change.add_words }];
}

/** What is known of a community from afar: which rules its platform has. */
function placeOf(communityKey: string): Place {
  const isTelegram = communityKey.startsWith('telegram:');
  const platform = isTelegram ? { hasRoles: false as const } : { isAgeRestricted: false };
  return { communityKey, channelKey: communityKey, maxBytes: 0, ...platform };
}

async function carryOut(
  request: FastifyRequest,
  { administration }: AdminRouteTools,
  community: string,
  command: RuleCommand | MisunderstoodRule,
): Promise<RuleOutcome> {
  const { person } = callerWith(request, 'admin');
  return await administration.rules({ ...person, isAdmin: true }, placeOf(community), command);
}

async function rulesNow(
  request: FastifyRequest,
  tools: AdminRouteTools,
  community: string,
): Promise<CommunityRules> {
  const outcome = await carryOut(request, tools, community, { kind: 'showRules' });
  if (outcome.kind === 'rules') return outcome.rules;
  throw outcome.kind === 'refused'
    ? refusalProblem(outcome.reason)
    : new ProblemError({ kind: 'badRequest' });
}

function refuse(param: keyof Change, outcome: RuleOutcome): void {
  switch (outcome.kind) {
    case 'rules':
    case 'unchanged':
      return;
    case 'refused': {
      const { reason } = outcome;
      const detail = reason.kind === 'failure' ? reason.failure.detail : undefined;
      throw detail ? invalidParameter(param, detail) : refusalProblem(reason);
    }
    default:
      throw new ProblemError({ kind: 'badRequest', param });
  }
}
