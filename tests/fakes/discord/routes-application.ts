/** Routes about the bot itself: gateway, identity, commands, direct message channels, places it may look at. */
import { z } from 'zod';
import { ApiError, missingAccess, parseForm, unknownChannel } from './api-error.ts';
import { commandJson } from './commands.ts';
import type { Reply, Request, Route } from './http.ts';
import type { World } from './world.ts';

const ok = (json: unknown): Reply => ({ status: 200, json });
const notFound = (message: string) => new ApiError(404, 0, message);

export function applicationRoutes(
  world: World,
  gateway: () => { readonly url: string; readonly shards: number; readonly maxConcurrency: number },
): Route[] {
  const bot = (method: string, template: string, handle: (request: Request) => Reply): Route => ({
    method,
    template,
    auth: 'bot',
    handle,
  });
  const application = {
    id: world.bot.id,
    name: world.bot.username,
    description: '',
    flags: 0,
    bot: world.bot,
  };

  const commandRoutes = [
    '/applications/:application/commands',
    '/applications/:application/guilds/:guild/commands',
  ].flatMap((template) => {
    const guildOf = (request: Request): string | undefined => {
      if (!template.includes(':guild')) return undefined;
      const id = request.param('guild');
      if (!world.guilds.get(id)?.hasBot) throw missingAccess();
      return id;
    };
    const localized = ({ query }: Request): boolean => query.get('with_localizations') === 'true';
    return [
      bot('GET', template, (request) =>
        ok(
          world.commands
            .list(guildOf(request))
            .map((each) => commandJson(each, world.bot.id, localized(request))),
        ),
      ),
      bot('PUT', template, (request) =>
        ok(
          world.commands
            .replace(guildOf(request), request.json)
            .map((each) => commandJson(each, world.bot.id, true)),
        ),
      ),
      bot('POST', template, (request) => ({
        status: 201,
        json: commandJson(world.commands.create(guildOf(request), request.json), world.bot.id, true),
      })),
      bot('DELETE', `${template}/:command`, (request) => {
        if (!world.commands.remove(guildOf(request), request.param('command')))
          throw notFound('Unknown application command');
        return { status: 204 };
      }),
    ];
  });

  return [
    ...commandRoutes,
    bot('GET', '/gateway/bot', () =>
      ok({
        url: gateway().url,
        shards: gateway().shards,
        session_start_limit: {
          total: 1000,
          remaining: 999,
          reset_after: 86_400_000,
          max_concurrency: gateway().maxConcurrency,
        },
      }),
    ),
    bot('GET', '/users/@me', () => ok(world.bot)),
    bot('GET', '/applications/@me', () => ok(application)),
    bot('GET', '/oauth2/applications/@me', () => ok(application)),
    bot('GET', '/users/:user', (request) => {
      const user = world.users.get(request.param('user'));
      if (!user) throw new ApiError(404, 10013, 'Unknown User');
      return ok(user.api);
    }),
    bot('POST', '/users/@me/channels', ({ json }) => {
      const { recipient_id } = parseForm(z.object({ recipient_id: z.string() }), json);
      const user = world.users.get(recipient_id);
      if (!user) throw new ApiError(404, 10013, 'Unknown User');
      return ok(user.dm.toJson());
    }),
    bot('GET', '/channels/:channel', (request) => {
      const channel = world.channels.get(request.param('channel'));
      if (!channel || channel.deleted) throw unknownChannel();
      if (!channel.botIsHere) throw missingAccess();
      return ok(channel.toJson());
    }),
    bot('GET', '/guilds/:guild', (request) => {
      const guild = world.guilds.get(request.param('guild'));
      if (!guild?.hasBot) throw new ApiError(404, 10004, 'Unknown Guild');
      return ok(guild.toJson());
    }),
    bot('GET', '/guilds/:guild/members/:user', (request) => {
      const guild = world.guilds.get(request.param('guild'));
      if (guild?.hasBot && request.param('user') === world.bot.id) return ok(guild.botJson());
      const member = guild?.members.get(request.param('user'));
      if (!guild?.hasBot || !member) throw new ApiError(404, 10007, 'Unknown Member');
      return ok(guild.memberJson(member.user));
    }),
  ];
}
