/** Routes that need an interaction's token only: the first answer within its deadline, later edits and follow-ups. */
import {
  RESTJSONErrorCodes as Code,
  InteractionType,
  MessageFlags,
  InteractionResponseType as Respond,
} from 'discord.js';
import { z } from 'zod';
import {
  ApiError,
  alreadyAcknowledged,
  invalidForm,
  invalidWebhookToken,
  parseForm,
  unknownInteraction,
  unknownMessage,
  unknownWebhook,
} from './api-error.ts';
import type { Reply, Request, Route } from './http.ts';
import type { FakeInteraction } from './interaction.ts';
import type { FakeMessage } from './message.ts';
import { type MessageBody, messageBody } from './message-body.ts';
import { autocompleteBody, modalBody } from './modal-body.ts';
import { edit, noUploads, post, remove } from './posting.ts';
import type { World } from './world.ts';

const callbackBody = z.object({ type: z.enum(Respond), data: z.unknown().optional() });
const deferBody = z.object({ flags: z.number().int().nullish() }).nullish();
const nothing: MessageBody = { content: '' };

export function interactionRoutes(world: World): Route[] {
  const route = (method: string, template: string, handle: (request: Request) => Reply): Route => ({
    method,
    template,
    auth: 'none',
    handle,
  });
  const json = (message: FakeMessage) => message.toJson((file) => world.files.attachment(file));
  const uploads = (request: Request, interaction: FakeInteraction) => ({
    files: request.files,
    limitBytes: interaction.uploadLimitBytes,
  });

  /** @throws ApiError when the token is unknown, was never answered to in time, or is too old */
  const alive = (request: Request): FakeInteraction => {
    const interaction = world.interactionByToken(request.param('token'));
    if (!interaction || request.param('application') !== world.bot.id) throw unknownWebhook();
    if (interaction.expired) throw invalidWebhookToken();
    if (interaction.acknowledgedAt === undefined) throw unknownWebhook();
    return interaction;
  };
  const messageOf = (request: Request, { original, followUps }: FakeInteraction): FakeMessage => {
    const id = request.param('message');
    const message = id === '@original' ? original : [original, ...followUps].find((each) => each?.id === id);
    if (!message || message.deleted) throw unknownMessage();
    return message;
  };

  const callback = (request: Request): Reply => {
    const interaction = world.interactions.get(request.param('interaction'));
    if (!interaction || interaction.token !== request.param('token')) throw unknownInteraction();
    if (interaction.acknowledgedAt !== undefined) throw alreadyAcknowledged();
    if (interaction.failed || interaction.expired) throw unknownInteraction();
    const { type, data } = parseForm(callbackBody, request.json);
    assertFits(type, interaction);
    respond(interaction, type, data, request);
    interaction.response = type;
    interaction.acknowledgedAt = Date.now();
    if (request.query.get('with_response') !== 'true') return { status: 204 };
    const { original } = interaction;
    return {
      status: 200,
      json: {
        interaction: {
          id: interaction.id,
          type: interaction.asked.type,
          ...(original && {
            response_message_id: original.id,
            response_message_loading: original.loading,
            response_message_ephemeral: original.ephemeral,
          }),
        },
        resource: { type, ...(original && { message: json(original) }) },
      },
    };
  };

  const respond = (interaction: FakeInteraction, type: Respond, data: unknown, request: Request): void => {
    const { asked } = interaction;
    if (type === Respond.ChannelMessageWithSource) {
      const body = parseForm(messageBody, data ?? {});
      interaction.original = say(interaction, body, request, body.flags ?? 0);
    } else if (type === Respond.DeferredChannelMessageWithSource) {
      const flags = parseForm(deferBody, data)?.flags ?? 0;
      interaction.original = say(
        interaction,
        nothing,
        undefined,
        (flags & MessageFlags.Ephemeral) | MessageFlags.Loading,
      );
    } else if (type === Respond.DeferredMessageUpdate) {
      interaction.original = asked.source;
    } else if (type === Respond.UpdateMessage && asked.source) {
      edit(asked.source, parseForm(messageBody, data ?? {}), 'webhook', uploads(request, interaction));
      interaction.original = asked.source;
    } else if (type === Respond.Modal) {
      interaction.showModal(parseForm(modalBody, data));
    } else if (type === Respond.ApplicationCommandAutocompleteResult) {
      interaction.choices = parseForm(autocompleteBody, data).choices;
    }
  };

  const say = (
    interaction: FakeInteraction,
    body: MessageBody,
    request: Request | undefined,
    flags: number,
  ): FakeMessage => {
    const { user, channel, type } = interaction.asked;
    const origin = {
      author: world.bot,
      interaction: { id: interaction.id, type, user: user.api },
      ...(flags & MessageFlags.Ephemeral && { onlyFor: user.id }),
    };
    return post(channel, origin, body, {
      via: 'webhook',
      uploads: request ? uploads(request, interaction) : noUploads,
      flags: flags & MessageFlags.Loading,
    });
  };

  return [
    route('POST', '/interactions/:interaction/:token/callback', callback),
    route('POST', '/webhooks/:application/:token', (request) => {
      const interaction = alive(request);
      const body = parseForm(messageBody, request.json ?? {});
      // The first follow-up of a deferred answer takes the place of "is thinking…".
      if (interaction.original?.loading && !interaction.original.deleted) {
        edit(interaction.original, body, 'webhook', uploads(request, interaction));
        return { status: 200, json: json(interaction.original) };
      }
      if (!interaction.mayFollowUp)
        throw new ApiError(
          400,
          Code.ThisInteractionHasHitTheMaximumNumberOfFollowUpMessages,
          'This interaction has hit the maximum number of follow up messages',
        );
      const message = say(interaction, body, request, body.flags ?? 0);
      interaction.followUps.push(message);
      return { status: 200, json: json(message) };
    }),
    route('GET', '/webhooks/:application/:token/messages/:message', (request) => ({
      status: 200,
      json: json(messageOf(request, alive(request))),
    })),
    route('PATCH', '/webhooks/:application/:token/messages/:message', (request) => {
      const interaction = alive(request);
      const message = messageOf(request, interaction);
      edit(message, parseForm(messageBody, request.json ?? {}), 'webhook', uploads(request, interaction));
      return { status: 200, json: json(message) };
    }),
    route('DELETE', '/webhooks/:application/:token/messages/:message', (request) => {
      remove(messageOf(request, alive(request)));
      return { status: 204 };
    }),
  ];
}

function assertFits(type: Respond, { asked }: FakeInteraction): void {
  const wrong = (): never => {
    throw invalidForm(['type'], `An interaction of type ${asked.type} cannot be answered with type ${type}`);
  };
  const isAutocomplete = asked.type === InteractionType.ApplicationCommandAutocomplete;
  if (isAutocomplete !== (type === Respond.ApplicationCommandAutocompleteResult)) wrong();
  if ((type === Respond.UpdateMessage || type === Respond.DeferredMessageUpdate) && !asked.source) wrong();
  if (type === Respond.Modal && asked.type === InteractionType.ModalSubmit) wrong();
  if (type === Respond.Pong || type === Respond.PremiumRequired || type === Respond.LaunchActivity) wrong();
}
