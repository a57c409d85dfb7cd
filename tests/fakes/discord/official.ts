/** Discord's own description of its API (its OpenAPI, as schemas of zod), against which every call of the bot is held. */
import * as official from 'discord-api-spec/zod';
import { z } from 'zod';
import type { Addressed } from './faults.ts';

/** Permissions are numbers in the description, and strings in Discord's reference and in all that it sends. */
const withNumber = (command: unknown): unknown => {
  const parsed = z.looseObject({ default_member_permissions: z.string() }).safeParse(command);
  if (!parsed.success) return command;
  return { ...parsed.data, default_member_permissions: Number(parsed.data.default_member_permissions) };
};
const commands = z.array(z.preprocess(withNumber, official.ApplicationCommandUpdateRequestSchema));
const edit = official.IncomingWebhookUpdateRequestPartialSchema;

/** By method and route of the fake. */
const bodies: Readonly<Record<string, z.ZodType>> = {
  'PUT /applications/:application/commands': commands,
  'PUT /applications/:application/guilds/:guild/commands': commands,
  'POST /applications/:application/commands': official.ApplicationCommandCreateRequestSchema,
  'POST /channels/:channel/messages': official.MessageCreateRequestSchema,
  'PATCH /channels/:channel/messages/:message': official.MessageEditRequestPartialSchema,
  'POST /interactions/:interaction/:token/callback': z.union([
    official.ApplicationCommandAutocompleteCallbackRequestSchema,
    official.CreateMessageInteractionCallbackRequestSchema,
    official.ModalInteractionCallbackRequestSchema,
    official.UpdateMessageInteractionCallbackRequestSchema,
  ]),
  'POST /users/@me/channels': official.CreatePrivateChannelRequestSchema,
  'POST /webhooks/:application/:token': official.IncomingWebhookRequestPartialSchema,
  'PATCH /webhooks/:application/:token/messages/:message': edit,
};

/** What is wrong with the body of a call; undefined when nothing is, or it has none. */
export function complaint({ method, route }: Addressed, json: unknown): string | undefined {
  const schema = bodies[`${method} ${route}`];
  if (!schema) return json === undefined ? undefined : `${method} ${route} takes no body`;
  const parsed = schema.safeParse(json);
  if (!parsed.success) return `${method} ${route}: ${z.prettifyError(parsed.error)}`;
  const unknown = dropped(json, parsed.data);
  return unknown === undefined ? undefined : `${method} ${route} has no field "${unknown}"`;
}

/** discord.js sends them, switched off, with every body of a message; Discord ignores them. */
const ofEveryMessage: ReadonlySet<string> = new Set(['tts', 'enforce_nonce']);

/** The first field that the description does not have: zod leaves it out. */
function dropped(sent: unknown, known: unknown, path = ''): string | undefined {
  if (typeof sent !== 'object' || sent === null) return undefined;
  for (const [name, value] of Object.entries(sent)) {
    const there = typeof known === 'object' && known !== null && name in known;
    if (!there && !(value === false && ofEveryMessage.has(name))) return `${path}${name}`;
    const inside = there ? dropped(value, Reflect.get(known, name), `${path}${name}.`) : undefined;
    if (inside !== undefined) return inside;
  }
  return undefined;
}
