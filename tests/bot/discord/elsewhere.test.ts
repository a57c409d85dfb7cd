/** Servers that another bot serves: what their connection would tell is asked for. */
import { PermissionFlagsBits as Can } from 'discord.js';
import { afterEach, describe, expect, it } from 'vitest';
import { AdminRoles } from '../../../src/bot/discord/admin-roles.ts';
import { DiscordApi } from '../../../src/bot/discord/api.ts';
import { Gateway } from '../../../src/bot/discord/gateway.ts';
import { BotPermissions } from '../../../src/bot/discord/permissions.ts';
import { createLogger } from '../../../src/log.ts';
import { type FakeDiscord, startFakeDiscord } from '../../fakes/discord/server.ts';

const log = createLogger('test', 'silent');
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function begin() {
  const server = await startFakeDiscord();
  ends.push(() => server.stop());
  return { server, api: new DiscordApi(server.token, server.clientOptions.rest) };
}

async function connected(server: FakeDiscord): Promise<Gateway> {
  const gateway = new Gateway({
    token: server.token,
    clientOptions: server.clientOptions,
    silentAfterMs: 60_000,
    onInteraction: () => {},
    onReady: () => {},
    log,
  });
  ends.push(() => gateway.stop());
  await gateway.start();
  return gateway;
}

describe('what the bot may not do', () => {
  it('is the same by asking as by a connection', async () => {
    const { server, api } = await begin();
    const guild = server.guild();
    const open = guild.channel();
    const silent = guild.channel().deny(Can.SendMessages, Can.AttachFiles);
    const closed = guild.channel().deny(Can.ViewChannel);
    const parent = guild.channel().deny(Can.SendMessagesInThreads);
    const gateway = await connected(server);
    const thread = parent.thread();
    await server.until(() => gateway.client?.channels.cache.has(thread.id));
    const by = (isConnected: boolean) =>
      new BotPermissions({
        clients: () => (isConnected && gateway.client ? [gateway.client] : []),
        api,
        isShared: !isConnected,
      });
    for (const { id } of [open, silent, closed, parent, thread]) {
      expect(await by(false).lacking(id)).toEqual(await by(true).lacking(id));
    }
    expect(await by(false).lacking(silent.id)).toEqual(['SendMessages', 'AttachFiles']);
    expect(await by(false).lacking(thread.id)).toEqual(['SendMessagesInThreads']);
  });

  it('is that it may not look where it is not, and nothing in direct messages', async () => {
    const { server, api } = await begin();
    const channel = server.guild().channel();
    channel.guild?.kickBot();
    const permissions = new BotPermissions({ clients: () => [], api, isShared: true });
    expect(await permissions.lacking(channel.id)).toEqual(['ViewChannel']);
    expect(await permissions.lacking(server.user().dm.id)).toEqual([]);
  });
});

it('somebody with a role of admins there is an admin, somebody else is not', async () => {
  const { server, api } = await begin();
  const [guild, left] = [server.guild(), server.guild()];
  const role = guild.role({ name: 'keepers' });
  const [keeper, other, stranger] = [server.user(), server.user(), server.user()];
  guild.member(keeper, { roles: [role] }).member(other);
  left.kickBot();
  const roles = new AdminRoles({
    ...{ roleIds: [role.id], clients: () => [], api, log },
    elsewhere: [left.id, guild.id],
  });
  expect(await Promise.all([keeper, other, stranger].map(({ id }) => roles.hasOne(id)))).toEqual([
    true,
    false,
    false,
  ]);
});
