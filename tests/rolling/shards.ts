/**
 * A rolling update of bots that share the shards of Discord, the way back, and forth again: they are replaced one by one while
 * people ask in a server of each shard. A request fails visibly, or is answered once.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isThere } from '../../src/is-there.ts';
import { botEntries } from '../../src/queue/bot-registry.ts';
import { Keys } from '../../src/queue/keys.ts';
import { servedShards } from '../../src/queue/shard-leases.ts';
import type { FakeChannel } from '../fakes/discord/channel.ts';
import type { FakeInteraction } from '../fakes/discord/interaction.ts';
import { type FakeDiscord, startFakeDiscord } from '../fakes/discord/server.ts';
import { shardOf } from '../fakes/discord/world.ts';
import { photo } from '../helpers/discord-stage.ts';
import { ForwardProxy } from '../helpers/forward-proxy.ts';
import { eventually } from '../helpers/queue-harness.ts';
import { Processes, type Serving } from './processes.ts';
import type { Versions } from './rolling.ts';

const shards = 4;
/** Of each shard, after which the next bot is replaced. */
const betweenSteps = 2;
const withinMs = 300_000;

interface Asked {
  readonly interaction: FakeInteraction;
  readonly channel: FakeChannel;
}

const videosOf = ({ interaction }: Asked): number =>
  interaction.replies().filter(({ attachments }) => attachments.length > 0).length;
/** Nobody took it, or its person was told to try again. */
const isRefused = ({ interaction }: Asked): boolean =>
  interaction.failed || interaction.replies().some(({ text }) => /cannot be reached/.test(text));

class Discord {
  readonly #server: FakeDiscord;
  readonly #channels: readonly FakeChannel[];
  readonly #asked: Asked[] = [];
  readonly #doing: Promise<void>[] = [];
  #isOver = false;

  private constructor(server: FakeDiscord, channels: readonly FakeChannel[]) {
    this.#server = server;
    this.#channels = channels;
  }

  /** Behind a proxy, as `kinora bot` knows no other address of Discord. */
  static async start(proxy: ForwardProxy): Promise<{ discord: Discord; server: FakeDiscord }> {
    const behind = (port: number): string => {
      proxy.target = port;
      return 'https://cdn.discordapp.com';
    };
    const server = await startFakeDiscord({ shards, maxConcurrency: shards, behind });
    const channels = new Map<number, FakeChannel>();
    while (channels.size < shards) {
      const guild = server.guild();
      const shard = shardOf(guild.id, shards);
      if (!channels.has(shard)) channels.set(shard, guild.channel());
      await sleep(1); // ids count milliseconds
    }
    return { discord: new Discord(server, [...channels.values()]), server };
  }

  begin(): void {
    for (const channel of this.#channels) this.#doing.push(this.#live(channel));
    for (const doing of this.#doing) doing.catch(() => {}); // told by end()
  }

  async #live(channel: FakeChannel): Promise<void> {
    const user = this.#server.user();
    while (!this.#isOver) {
      const options = { image: photo, prompt: 'waves', preset: 'fast', frames: 4 };
      const asked = { interaction: user.runs('/animate', options, { channel }), channel };
      this.#asked.push(asked);
      await eventually('an answer', () => videosOf(asked) > 0 || isRefused(asked), withinMs);
    }
  }

  #answeredIn(channel: FakeChannel): number {
    return this.#asked.filter((asked) => asked.channel === channel && videosOf(asked) > 0).length;
  }

  get answered(): number {
    return this.#asked.filter((asked) => videosOf(asked) > 0).length;
  }

  get refused(): number {
    return this.#asked.filter(isRefused).length;
  }

  /** Waits until so many more were answered in each server. */
  async more(count: number): Promise<void> {
    const wanted = this.#channels.map((channel) => this.#answeredIn(channel) + count);
    const isThere = (): boolean =>
      this.#channels.every((each, i) => this.#answeredIn(each) >= (wanted[i] ?? 0));
    const failed = Promise.all(this.#doing).then(() => undefined);
    await Promise.race([eventually(`${count} more videos in each server`, isThere, withinMs), failed]);
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#doing);
  }

  judge(): string[] {
    return this.#asked.flatMap((asked) => {
      const videos = videosOf(asked);
      if (videos === (isRefused(asked) ? 0 : 1)) return [];
      return [
        `${asked.interaction.id} was ${isRefused(asked) ? 'refused' : 'accepted'}, and has ${videos} videos`,
      ];
    });
  }
}

export async function runShards(
  { old, present }: Pick<Versions, 'old' | 'present'>,
  say: (line: string) => void,
): Promise<readonly string[]> {
  if (!(await isThere(join(old.root, 'src/queue/shard-leases.ts'))))
    throw new Error('The version before knows no shards that bots share: name another one with --old.');
  const proxy = await ForwardProxy.start();
  const { discord, server } = await Discord.start(proxy);
  const processes = await Processes.start({
    KINORA_WEB_PORT: undefined,
    KINORA_TELEGRAM_TOKEN: undefined,
    KINORA_DISCORD_TOKEN: server.token,
    KINORA_DISCORD_SHARDS: String(shards),
    HTTPS_PROXY: proxy.httpUrl,
    // The certificate of the proxy is the tests' own.
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
  });
  const redis = processes.redis.connect();
  const keys = new Keys();
  /** How many each bot serves, by the leases and by Discord. */
  const shared = async (bots: readonly Serving[], shares: readonly number[]): Promise<void> => {
    await eventually(
      `shares of ${shares}`,
      async () => {
        const [entries, served] = await Promise.all([botEntries(redis, keys), servedShards(redis, keys)]);
        const idOf = (pid: number) => entries.find((entry) => entry.pid === pid)?.id ?? '';
        const counts = bots.map(({ pid }) => served.get(idOf(pid))?.length ?? 0);
        const isConnected = Array.from({ length: shards }, (_, id) => server.gateway.isConnected(id));
        return counts.join() === shares.join() && !isConnected.includes(false);
      },
      withinMs,
    );
  };
  try {
    say(`two bots of ${old.name}`);
    let bots = [await processes.sharing(old)];
    await shared(bots, [shards]);
    bots = [...bots, await processes.sharing(old)];
    await Promise.all([shared(bots, [shards / 2, shards / 2]), processes.worker(old)]);
    discord.begin();
    await discord.more(betweenSteps);
    for (const to of [present, old, present]) {
      for (let i = 0; i < 2; i++) {
        const [first, ...others] = bots;
        if (!first) throw new Error('there are two bots');
        say(`a bot of ${to.name} in place of one of ${first.version.name}`);
        bots = [...others, await processes.sharing(to)];
        await first.drain();
        await shared(bots, [shards / 2, shards / 2]);
        await discord.more(betweenSteps);
      }
    }
    await discord.end();
    const { answered, refused } = discord;
    say(`${answered} requests were answered, ${refused} refused while a shard changed hands.`);
    await eventually('an empty queue', async () => (await redis.zcard(keys.pending)) === 0, withinMs);
    const delivered = Number(await redis.hget(keys.endings, 'delivered'));
    const uncounted = delivered === answered ? [] : [`${answered} were answered, and ${delivered} counted`];
    return [...discord.judge(), ...uncounted, ...processes.deaths];
  } finally {
    await processes.stop();
    await server.stop();
    await proxy.stop();
  }
}
