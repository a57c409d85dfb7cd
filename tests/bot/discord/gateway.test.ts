/** The connection to Discord's gateway: shards, and close codes after which no login helps. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayCloseCodes as Close } from 'discord.js';
import { afterEach, describe, expect, it } from 'vitest';
import { Gateway, type Shard, TooFewShards } from '../../../src/bot/discord/gateway.ts';
import { isKinoraError } from '../../../src/errors.ts';
import { createLogger } from '../../../src/log.ts';
import type { FakeGuild } from '../../fakes/discord/guild.ts';
import { type FakeDiscord, type FakeDiscordOptions, startFakeDiscord } from '../../fakes/discord/server.ts';
import { shardOf } from '../../fakes/discord/world.ts';

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface ConnectionOptions extends FakeDiscordOptions {
  readonly shard?: Shard;
  readonly silentAfterMs?: number;
}

async function connection({ shard, silentAfterMs = 60_000, ...options }: ConnectionOptions = {}) {
  const server = await startFakeDiscord(options);
  ends.push(() => server.stop());
  const logged: string[] = [];
  const heard: (string | null)[] = [];
  const givenUp: unknown[] = [];
  const gateway = new Gateway({
    shard,
    onGivenUp: (error) => givenUp.push(error),
    token: server.token,
    clientOptions: server.clientOptions,
    silentAfterMs,
    onInteraction: ({ guildId }) => heard.push(guildId),
    onReady: () => {},
    log: createLogger('test', 'warn', { write: (line) => logged.push(line) }),
  });
  ends.push(() => gateway.stop());
  return { server, gateway, logged, heard, givenUp };
}

async function registers(server: FakeDiscord): Promise<void> {
  await fetch(`${server.cdn}/api/v10/applications/${server.applicationId}/commands`, {
    method: 'PUT',
    headers: { authorization: `Bot ${server.token}`, 'content-type': 'application/json' },
    body: JSON.stringify([{ name: 'ping', description: 'ping' }]),
  });
}

describe('a bot in many servers', () => {
  it('connects in as many shards as Discord asks for, and hears every server', async () => {
    const { server, gateway, heard } = await connection({ shards: 3 });
    await registers(server);
    const guilds = Array.from({ length: 12 }, () => server.guild());
    const channels = guilds.map((guild) => guild.channel());
    await gateway.start();
    expect(server.gateway.identifies).toBe(3);
    const ada = server.user();
    for (const channel of channels) ada.runs('/ping', {}, { channel });
    ada.runs('/ping', {}, { dm: true });
    await server.until(() => heard.length === 13);
    expect(new Set(heard)).toEqual(new Set([...guilds.map(({ id }) => id), null]));
  });

  it('connects anew when it has outgrown its shards', async () => {
    const { server, gateway } = await connection({ shards: 1 });
    await gateway.start();
    server.gateway.shards = 2;
    server.gateway.closeAll(Close.ShardingRequired);
    await server.until(() => server.gateway.identifies === 3 && gateway.client?.isReady());
  });

  it('connects one shard where several bots share them, and hears its servers alone', async () => {
    const { server, gateway, heard } = await connection({ shards: 3, shard: { id: 1, count: 3 } });
    await registers(server);
    const guilds = new Map<number, FakeGuild>();
    while (guilds.size < 3) {
      const guild = server.guild();
      guilds.set(shardOf(guild.id, 3), guild);
      await sleep(1); // ids count milliseconds
    }
    const starting = gateway.start();
    expect(gateway.isReady).toBe(false);
    await starting;
    expect(gateway.isReady).toBe(true);
    expect(server.gateway.logins).toEqual([[1, 3]]);
    const ada = server.user();
    ada.runs('/ping', {}, { dm: true });
    const inOrder = [0, 2, 1].flatMap((shard) => guilds.get(shard) ?? []);
    for (const guild of inOrder) ada.runs('/ping', {}, { channel: guild.channel() });
    await server.until(() => heard.length > 0);
    expect(heard).toEqual([guilds.get(1)?.id]);
    server.gateway.drop({ resume: true, forMs: 120_000 });
    await server.until(() => !gateway.isReady);
    server.gateway.drop({ resume: true });
    await server.until(() => gateway.isReady);
  });

  it.each([Close.ShardingRequired, Close.InvalidShard])(
    'is told to raise the number of shards that is set (%s)',
    async (code) => {
      const { server, gateway } = await connection({ shard: { id: 0, count: 2 } });
      server.gateway.refuse(code);
      const refusal = gateway.start();
      await expect(refusal).rejects.toThrow(/raise KINORA_DISCORD_SHARDS/);
      await expect(refusal).rejects.toThrow(TooFewShards);
    },
  );

  it('does not log in when it was stopped before Discord told of its gateway', async () => {
    const { server, gateway } = await connection({ shard: { id: 0, count: 1 } });
    const fault = server.fail({ route: '/gateway/bot', status: 'held' });
    const starting = gateway.start();
    await server.until(() => server.calls({ route: '/gateway/bot' }).length > 0);
    await gateway.stop();
    fault.lift();
    await starting;
    expect(server.gateway.identifies).toBe(0);
  });

  it('ends in time when it is stopped in the middle of a login', async () => {
    const { server, gateway } = await connection({ shards: 1 });
    await gateway.start();
    server.gateway.deafen();
    server.gateway.closeAll(Close.UnknownError);
    await sleep(1_500); // discord.js has connected anew, and waits for a greeting
    await gateway.stop();
  }, 20_000);

  it('is tried again when one shard is refused while another is not ready yet', async () => {
    const { server, gateway } = await connection({ shards: 2 });
    server.gateway.hold();
    const starting = gateway.start();
    await server.until(() => server.gateway.held === 2);
    server.gateway.settle('answered');
    server.gateway.deafen();
    await sleep(500); // it has told Discord who it is
    server.gateway.goOn('refused');
    await starting;
    server.gateway.deafen(false);
    await server.until(() => gateway.isReady);
  });
});

describe('a connection that is ended', () => {
  /** In which discord.js would connect anew. */
  const comesBackMs = 1_500;

  it('does not come back when that was between two attempts', async () => {
    const { server, gateway } = await connection({ shard: { id: 0, count: 1 } });
    await gateway.start();
    server.gateway.drop({ resume: true, forMs: 120_000 });
    await server.until(() => !gateway.isReady);
    await gateway.stop();
    server.gateway.drop({ resume: true });
    await sleep(comesBackMs);
    expect(server.gateway.connected).toBe(false);
  });

  it.each(['cut off', 'answered'] as const)(
    'in a handshake does not come back when that is %s',
    async (how) => {
      const { server, gateway } = await connection({ shard: { id: 0, count: 1 } });
      await gateway.start();
      server.gateway.hold();
      server.gateway.drop({ resume: true });
      await server.until(() => server.gateway.held > 0);
      await gateway.stop();
      server.gateway.goOn(how);
      await sleep(comesBackMs);
      expect(server.gateway.connected).toBe(false);
    },
  );

  it('is followed by one alone when it was silent', async () => {
    const { server, gateway } = await connection({ heartbeatIntervalMs: 200, silentAfterMs: 2_000 });
    await gateway.start();
    server.gateway.drop({ resume: true, forMs: 120_000 });
    await server.until(() => gateway.client === null);
    server.gateway.drop({ resume: true });
    await server.until(() => gateway.isReady);
    await sleep(comesBackMs);
    // None, where the machine is so busy that it is replaced again.
    expect(server.gateway.connectionsOf(0)).toBeLessThanOrEqual(1);
  });

  it('is followed by one alone when it was silent before it was ready', async () => {
    const { server, gateway } = await connection({ heartbeatIntervalMs: 200, silentAfterMs: 2_000 });
    server.fail({ route: '/gateway/bot', status: 503, times: 4 });
    server.gateway.hold();
    await gateway.start();
    await server.until(() => server.gateway.held > 0);
    const silent = gateway.client;
    await server.until(() => gateway.client !== silent);
    server.gateway.goOn('refused');
    await server.until(() => gateway.isReady);
    await sleep(2 * comesBackMs);
    expect(server.gateway.connectionsOf(0)).toBeLessThanOrEqual(1);
  });
});

describe('a login that can never succeed', () => {
  const refusals = [
    [Close.AuthenticationFailed, /does not know the token.*KINORA_DISCORD_TOKEN/],
    [Close.InvalidShard, /shards.*update Kinora/],
    [Close.ShardingRequired, /too many servers.*start Kinora again/],
    [Close.InvalidAPIVersion, /version of its gateway.*update Kinora/],
    [Close.InvalidIntents, /intents.*update Kinora/],
    [Close.DisallowedIntents, /does not allow.*switch them on/],
  ] as const;

  it.each(refusals)('ends the start with a sentence (%s)', async (code, sentence) => {
    const { server, gateway, logged } = await connection();
    server.gateway.refuse(code);
    const error = await gateway.start().catch((thrown: unknown) => thrown);
    if (!isKinoraError(error)) throw new Error(`not ours: ${error}`);
    expect(error.code).toBe('INVALID_CONFIG');
    expect(error.message).toMatch(sentence);
    expect(logged.join()).not.toMatch(/try again/);
  });

  it.each(refusals)('ends a connection that was good with a sentence (%s)', async (code, sentence) => {
    const { server, gateway, logged, givenUp } = await connection();
    await gateway.start();
    server.gateway.refuse(code);
    server.gateway.closeAll(code);
    await server.until(() => givenUp.length > 0);
    expect(String(givenUp)).toMatch(sentence);
    expect(logged.join()).toMatch(sentence);
    expect(logged.join()).toMatch(/Discord stays off/);
    expect(logged.join()).not.toMatch(/try again/);
    expect(gateway.client).toBe(null);
  });
});
