/** The gateway: hello, identify, ready, heartbeats, resume with replay, and every way of losing a connection. */
import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { GatewayCloseCodes, GatewayIntentBits as Intent, GatewayOpcodes as Op } from 'discord.js';
import { type WebSocket, WebSocketServer } from 'ws';
import { z } from 'zod';
import { shardOf, type World } from './world.ts';

const received = z.discriminatedUnion('op', [
  z.object({ op: z.literal(Op.Heartbeat), d: z.number().nullable() }),
  z.object({
    op: z.literal(Op.Identify),
    d: z.object({
      token: z.string(),
      intents: z.number().int(),
      shard: z.tuple([z.int(), z.int()]).default([0, 1]),
    }),
  }),
  z.object({
    op: z.literal(Op.Resume),
    d: z.object({ token: z.string(), session_id: z.string(), seq: z.number().int() }),
  }),
  z.object({ op: z.literal(Op.PresenceUpdate), d: z.unknown() }),
]);

const placed = z.object({ guild_id: z.string().optional(), id: z.string().optional() });

interface Session {
  readonly id: string;
  readonly intents: number;
  /** Which, of how many. */
  readonly shard: readonly [number, number];
  /** All events so far; the sequence number is the position, from 1. */
  readonly events: string[];
  socket: WebSocket | undefined;
}

/** Events that come without being asked for by an intent of their own belong to Guilds. */
const isOfGuilds = (event: string): boolean => /^(GUILD|CHANNEL)_/.test(event);

export class FakeGateway {
  identifies = 0;
  resumes = 0;
  /** Heard from the bot since the start. */
  heartbeats = 0;
  url = '';
  /** A bot with fewer is closed with 4011, as from 2500 servers per shard on. */
  shards = 1;
  /** How many shards may log in at a time. */
  maxConcurrency = 1;
  /** The shard of each login, of how many. */
  readonly logins: (readonly [number, number])[] = [];
  readonly #world: World;
  readonly #token: string;
  readonly #sockets = new WebSocketServer({ noServer: true });
  #sessions: Session[] = [];
  #closedUntil = 0;
  /** Handshakes under way; undefined while they are answered. */
  #held: { readonly socket: Duplex; readonly answer: () => void }[] | undefined;
  #deaf = false;
  #refuses: GatewayCloseCodes | undefined;

  constructor(world: World, token: string, server: Server) {
    this.#world = world;
    this.#token = token;
    world.emit = (event, data, intent) => this.#dispatch(event, data, intent);
    server.on('upgrade', (request, socket, head) => {
      if (Date.now() < this.#closedUntil) return socket.destroy();
      const answer = (): void =>
        this.#sockets.handleUpgrade(request, socket, head, (webSocket) => this.#welcome(webSocket));
      if (this.#held) this.#held.push({ socket, answer });
      else answer();
      return undefined;
    });
  }

  /** Whether a bot is connected and past READY. */
  get connected(): boolean {
    return this.#sessions.some(({ socket }) => socket);
  }

  /** How many connections a shard has, past READY: more than one while a bot takes over from another that hangs. */
  connectionsOf(shard: number): number {
    return this.#sessions.filter((session) => session.socket && session.shard[0] === shard).length;
  }

  isConnected(shard: number): boolean {
    return this.connectionsOf(shard) > 0;
  }

  /**
   * Cuts the connection. The bot may resume and then gets what it missed, or must identify anew and has missed it.
   * @param forMs how long no new connection is taken
   */
  drop({ resume, forMs = 0 }: { resume: boolean; forMs?: number }): void {
    this.#closedUntil = Date.now() + forMs;
    this.closeAll(GatewayCloseCodes.UnknownError);
    if (!resume) this.#sessions = [];
  }

  closeAll(code: GatewayCloseCodes): void {
    const open = this.#sessions.flatMap(({ socket }) => socket ?? []);
    for (const session of this.#sessions) session.socket = undefined;
    for (const socket of open) socket.close(code);
  }

  /** From now on handshakes get no answer. */
  hold(): void {
    this.#held = [];
  }

  get held(): number {
    return this.#held?.length ?? 0;
  }

  /** Answers the first of those that it holds, refuses it, or cuts it off. */
  settle(how: 'answered' | 'refused' | 'cut off'): void {
    const { socket, answer } = this.#held?.shift() ?? {};
    if (how === 'answered') answer?.();
    else if (how === 'refused') socket?.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    else socket?.destroy();
  }

  /** Settles what it holds, and takes up again. */
  goOn(how: 'answered' | 'refused' | 'cut off'): void {
    while (this.held > 0) this.settle(how);
    this.#held = undefined;
  }

  /** From now on every login is closed with this code. */
  refuse(code: GatewayCloseCodes): void {
    this.#refuses = code;
  }

  /** Opcode 7: the bot shall connect again and resume. */
  askReconnect(): void {
    this.#toAll({ op: Op.Reconnect, d: null });
  }

  /** Opcode 9 out of the blue. */
  invalidateSession(resumable: boolean): void {
    this.#toAll({ op: Op.InvalidSession, d: resumable });
    if (!resumable) this.#sessions = [];
  }

  /** Connected, but nothing comes any more, not even the answers to heartbeats. */
  deafen(deaf = true): void {
    this.#deaf = deaf;
  }

  async close(): Promise<void> {
    for (const client of this.#sockets.clients) client.terminate();
    await new Promise((resolve) => this.#sockets.close(resolve));
  }

  #toAll(payload: object): void {
    for (const { socket } of this.#sessions) if (socket) this.#send(socket, JSON.stringify(payload));
  }

  #send(socket: WebSocket, text: string): void {
    if (!this.#deaf) socket.send(text);
  }

  #dispatch(event: string, data: unknown, intent?: Intent): void {
    const needed = intent ?? (isOfGuilds(event) ? Intent.Guilds : undefined);
    const { data: place } = placed.safeParse(data);
    const guildId = place?.guild_id ?? (event.startsWith('GUILD_') ? place?.id : undefined);
    for (const session of this.#sessions) {
      const isHere = session.shard[0] === shardOf(guildId, session.shard[1]);
      if (isHere && (needed === undefined || session.intents & needed)) this.#push(session, event, data);
    }
  }

  #push(session: Session, t: string, d: unknown): void {
    const text = JSON.stringify({ op: Op.Dispatch, t, s: session.events.length + 1, d });
    session.events.push(text);
    if (session.socket) this.#send(session.socket, text);
  }

  #welcome(socket: WebSocket): void {
    let session: Session | undefined;
    socket.on('message', (raw) => {
      if (this.#deaf) return;
      const parsed = received.safeParse(JSON.parse(String(raw)));
      if (!parsed.success) return socket.close(GatewayCloseCodes.DecodeError);
      const { op, d } = parsed.data;
      if (op === Op.Heartbeat) {
        this.heartbeats += 1;
        return this.#send(socket, JSON.stringify({ op: Op.HeartbeatAck }));
      }
      if (op === Op.PresenceUpdate) return undefined;
      if (this.#refuses !== undefined) return socket.close(this.#refuses);
      if (d.token !== this.#token) return socket.close(GatewayCloseCodes.AuthenticationFailed);
      if (op === Op.Identify && d.shard[1] < this.shards)
        return socket.close(GatewayCloseCodes.ShardingRequired);
      session =
        op === Op.Identify
          ? this.#identify(socket, d.intents, d.shard)
          : this.#resume(socket, d.session_id, d.seq);
      return undefined;
    });
    socket.on('close', (code) => {
      if (!session || session.socket !== socket) return;
      session.socket = undefined;
      // Who says goodbye cannot resume.
      if (code === 1000 || code === 1001) this.#sessions = this.#sessions.filter((each) => each !== session);
    });
    this.#send(
      socket,
      JSON.stringify({ op: Op.Hello, d: { heartbeat_interval: this.#world.timing.heartbeatIntervalMs } }),
    );
  }

  #identify(socket: WebSocket, intents: number, shard: readonly [number, number]): Session {
    this.identifies += 1;
    this.logins.push(shard);
    const session: Session = { id: randomUUID(), intents, shard, events: [], socket };
    this.#sessions.push(session);
    const guilds = [...this.#world.guilds.values()].filter(
      ({ hasBot, id }) => hasBot && shardOf(id, shard[1]) === shard[0],
    );
    this.#push(session, 'READY', {
      v: 10,
      user: this.#world.bot,
      guilds: guilds.map(({ id }) => ({ id, unavailable: true })),
      session_id: session.id,
      resume_gateway_url: this.url,
      shard,
      application: { id: this.#world.bot.id, flags: 0 },
    });
    if (intents & Intent.Guilds)
      for (const guild of guilds) this.#push(session, 'GUILD_CREATE', guild.toJson());
    return session;
  }

  #resume(socket: WebSocket, sessionId: string, sequence: number): Session | undefined {
    const session = this.#sessions.find(({ id }) => id === sessionId);
    if (!session) {
      this.#send(socket, JSON.stringify({ op: Op.InvalidSession, d: false }));
      return undefined;
    }
    this.resumes += 1;
    session.socket = socket;
    for (const missed of session.events.slice(sequence)) this.#send(socket, missed);
    this.#push(session, 'RESUMED', {});
    return session;
  }
}
