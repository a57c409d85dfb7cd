/**
 * A real redis-server for one test: a unix socket in a temporary folder, stopped by pid. KINORA_TEST_SERVER names another
 * program that speaks the same, such as valkey-server. With KINORA_TEST_CLUSTER it is one of three masters of a Cluster,
 * the one that holds the keys of tests, and connections under test begin at the other two.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis as SingleRedis } from 'ioredis';
import { connectRedis, type Redis, type RedisAddress } from '../../src/queue/redis.ts';

export const redisProgram = process.env['KINORA_TEST_SERVER'] ?? 'redis-server';
/** Tests of what a single server does, or with a proxy before it, are left out over a Cluster. */
export const isCluster = process.env['KINORA_TEST_CLUSTER'] !== undefined;

const slots = 16_384;
/** Names of installations in tests. */
const names = ['{t}', '{test}', '{kinora}'];
/** For servers to find each other. */
const togetherDeadlineMs = 40_000;

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGCONT');
  child.kill('SIGKILL');
  await exit;
}

/** Where a server of a Cluster listens for clients, and for its fellows. */
interface Ports {
  readonly port: number;
  readonly busPort: number;
}

const clusterArguments = ({ port, busPort }: Ports): string[] => [
  '--repl-diskless-sync-delay',
  '0',
  ...['--port', `${port}`, '--bind', '127.0.0.1', '--cluster-enabled', 'yes', '--cluster-port', `${busPort}`],
  ...['--cluster-node-timeout', '2000'],
];

export class TestRedis {
  readonly socketPath: string;
  /** Address for the connections under test; a test may put a proxy in between. */
  address: RedisAddress;
  readonly #folder: string;
  readonly #arguments: readonly string[];
  readonly #connections: Redis[] = [];
  readonly #fellows: ChildProcess[] = [];
  /** Looks at the other servers of the Cluster. */
  readonly others: SingleRedis[] = [];
  readonly replicas: ChildProcess[] = [];
  #process: ChildProcess;

  private constructor(folder: string, serverArguments: readonly string[]) {
    this.#folder = folder;
    this.#arguments = serverArguments;
    this.socketPath = join(folder, 'redis.sock');
    this.address = { socketPath: this.socketPath };
    this.#process = this.#spawn();
  }

  static async start(...extraArguments: string[]): Promise<TestRedis> {
    if (isCluster) return await TestRedis.startCluster(0, ...extraArguments);
    const folder = await mkdtemp(join(tmpdir(), 'kinora-redis-'));
    return await new TestRedis(folder, ['--port', '0', ...extraArguments]).#answering();
  }

  /** Three masters, the first with replicas. Their common address names the two that do not hold the keys of tests. */
  static async startCluster(replicas = 0, ...extraArguments: string[]): Promise<TestRedis> {
    return await onFreePorts(() => TestRedis.#startCluster(replicas, extraArguments));
  }

  static async #startCluster(replicas: number, extraArguments: readonly string[]): Promise<TestRedis> {
    const folder = await mkdtemp(join(tmpdir(), 'kinora-cluster-'));
    const ports: Ports[] = [];
    for (let i = 0; i < 3; i++) ports.push({ port: await freePort(), busPort: await freePort() });
    const [own, ...others] = ports;
    if (!own) throw new Error('no ports');
    const server = new TestRedis(folder, [...clusterArguments(own), ...extraArguments]);
    return await server.#orStopped(() => server.#asCluster(own, others, replicas));
  }

  /** Nobody else knows of the servers while they are started. */
  async #orStopped(start: () => Promise<void>): Promise<this> {
    const late = sleep(togetherDeadlineMs, undefined, { ref: false }).then(() => {
      throw new Error('the servers do not come together');
    });
    try {
      await Promise.race([start(), late]);
      return await this.#answering();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async #asCluster(own: Ports, others: readonly Ports[], replicas: number): Promise<void> {
    for (const each of others) {
      const place = join(this.#folder, `${each.port}`);
      await mkdir(place);
      const base = ['--dir', place, '--save', '', ...clusterArguments(each)];
      this.#fellows.push(spawn(redisProgram, base, { stdio: 'ignore' }));
    }
    this.address = {
      url: `redis+cluster://${others.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    };
    await this.#join(own, others);
    for (let i = 0; i < replicas; i++) await this.#replicate(own);
  }

  /** Adds a replica of the first master to the Cluster. */
  async #replicate(own: Ports): Promise<void> {
    const master = this.connect();
    const each = { port: await freePort(), busPort: await freePort() };
    const place = join(this.#folder, `${each.port}`);
    await mkdir(place);
    const base = [
      '--dir',
      place,
      '--save',
      '',
      ...clusterArguments(each),
      '--cluster-replica-validity-factor',
      '0',
    ];
    const child = spawn(redisProgram, base, { stdio: 'ignore' });
    this.#fellows.push(child);
    this.replicas.push(child);
    const redis = new SingleRedis({ host: '127.0.0.1', port: each.port, maxRetriesPerRequest: null });
    redis.on('error', () => {}); // it starts
    this.#connections.push(redis);
    await redis.call('CLUSTER', 'MEET', '127.0.0.1', own.port, own.busPort);
    const id = String(await master.call('CLUSTER', 'MYID'));
    await until('a replica that knows its master', async () => {
      return await redis.call('CLUSTER', 'REPLICATE', id).then(
        () => true,
        () => false,
      );
    });
    await until('a replica', async () => /master_link_status:up/.test(await redis.info('replication')));
  }

  /**
   * A master with replicas, and three Sentinels that watch them, set as docs/redis.md advises. Connections under test
   * ask the Sentinels; connect() and `process` stay with the first master.
   */
  static async startSentinels(replicas: number): Promise<TestRedis> {
    return await onFreePorts(() => TestRedis.#startSentinels(replicas));
  }

  static async #startSentinels(replicas: number): Promise<TestRedis> {
    const folder = await mkdtemp(join(tmpdir(), 'kinora-sentinel-'));
    const port = await freePort();
    const common = ['--appendonly', 'yes', '--min-replicas-to-write', '1', '--min-replicas-max-lag', '3'];
    const own = ['--bind', '127.0.0.1', ...common];
    const server = new TestRedis(folder, ['--port', `${port}`, ...own]);
    return await server.#orStopped(() => server.#withSentinels(port, own, replicas));
  }

  async #withSentinels(port: number, own: readonly string[], replicas: number): Promise<void> {
    const launch = async (place: string, programArguments: readonly string[]): Promise<ChildProcess> => {
      await mkdir(join(this.#folder, place));
      const child = spawn(redisProgram, programArguments, {
        stdio: 'ignore',
        cwd: join(this.#folder, place),
      });
      this.#fellows.push(child);
      return child;
    };
    for (let i = 1; i <= replicas; i++) {
      const replica = [
        '--port',
        `${await freePort()}`,
        '--save',
        '',
        '--replicaof',
        '127.0.0.1',
        `${port}`,
        ...own,
      ];
      this.replicas.push(await launch(`replica-${i}`, replica));
    }
    const sentinels: number[] = [];
    for (const place of ['sentinel-1', 'sentinel-2', 'sentinel-3']) {
      const sentinelPort = await freePort();
      const lines = [
        ...[`port ${sentinelPort}`, 'bind 127.0.0.1'],
        `sentinel monitor kinora 127.0.0.1 ${port} 2`,
        'sentinel down-after-milliseconds kinora 3000',
        'sentinel failover-timeout kinora 10000',
      ];
      const file = join(this.#folder, `${place}.conf`);
      await writeFile(file, lines.join('\n'));
      await launch(place, [file, '--sentinel']);
      sentinels.push(sentinelPort);
    }
    this.address = {
      url: `redis+sentinel://${sentinels.map((each) => `127.0.0.1:${each}`).join(',')}/kinora`,
    };
    const master = this.connect();
    await until('the replicas', async () =>
      (await master.info('replication')).includes(`connected_slaves:${replicas}`),
    );
    for (const each of sentinels) {
      const sentinel = new SingleRedis({ host: '127.0.0.1', port: each, maxRetriesPerRequest: null });
      sentinel.on('error', () => {}); // it starts
      this.#connections.push(sentinel);
      await until('Sentinels that know each other', async () => {
        const state = String(await sentinel.call('SENTINEL', 'MASTER', 'kinora'));
        return state.includes(`num-slaves,${replicas},num-other-sentinels,2,`);
      });
    }
  }

  async #join(own: Ports, others: readonly Ports[]): Promise<void> {
    const redis = this.connect();
    const taken: number[] = [];
    for (const name of names) taken.push(Number(await redis.cluster('KEYSLOT', name)));
    const [first, last] = [Math.min(...taken), Math.max(...taken)];
    await redis.call('CLUSTER', 'ADDSLOTSRANGE', first, last);
    await redis.call('CLUSTER', 'SET-CONFIG-EPOCH', 1);
    const ranges = [
      [0, first - 1],
      [last + 1, slots - 1],
    ];
    for (const [index, { port, busPort }] of others.entries()) {
      const fellow = new SingleRedis({ host: '127.0.0.1', port, maxRetriesPerRequest: null });
      fellow.on('error', () => {}); // it starts
      this.#connections.push(fellow);
      this.others.push(fellow);
      const [from = 0, to = 0] = ranges[index] ?? [];
      await fellow.call('CLUSTER', 'ADDSLOTSRANGE', from, to);
      await fellow.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 2);
      await redis.call('CLUSTER', 'MEET', '127.0.0.1', port, busPort);
    }
    for (const { port } of [own, ...others]) await clusterIsUp(port);
  }

  get process(): ChildProcess {
    return this.#process;
  }

  #spawn(): ChildProcess {
    const base = ['--unixsocket', this.socketPath, '--dir', this.#folder, '--save', ''];
    return spawn(redisProgram, [...base, ...this.#arguments], { stdio: 'ignore' });
  }

  async #answering(): Promise<this> {
    const late = sleep(10_000, undefined, { ref: false }).then(() => {
      throw new Error(`${redisProgram} did not start`);
    });
    const redis = this.connect();
    await Promise.race([redis.ping(), late]);
    if (this.others.length > 0) {
      await until('a Cluster that serves', async () =>
        String(await redis.cluster('INFO')).includes('cluster_state:ok'),
      );
    }
    return this;
  }

  /** A test's own look at the server: a new connection that waits when it is away; closed by stop(). */
  connect(): SingleRedis {
    const redis = new SingleRedis({
      path: this.socketPath,
      maxRetriesPerRequest: null,
      retryStrategy: () => 50,
    });
    redis.on('error', () => {}); // the server may be stopped on purpose
    this.#connections.push(redis);
    return redis;
  }

  /** The kind of connection that workers use. */
  patient(): Redis {
    const redis = connectRedis(this.address, 'patient', () => {});
    this.#connections.push(redis);
    return redis;
  }

  /** The kind of connection that adapters use. */
  failFast(): Redis {
    const redis = connectRedis(this.address, 'fail-fast', () => {});
    this.#connections.push(redis);
    return redis;
  }

  /** Kills the server, waits a moment and starts a new one on the same files. */
  async crashAndRestart(awayMs = 300): Promise<void> {
    await ended(this.#process);
    await rm(this.socketPath, { force: true });
    await sleep(awayMs);
    this.#process = this.#spawn();
    await this.#answering();
  }

  async stop(): Promise<void> {
    for (const redis of this.#connections) redis.disconnect();
    await Promise.all([this.#process, ...this.#fellows].map(ended));
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Another process may take a port between its choice and its use. */
async function onFreePorts<T>(start: () => Promise<T>): Promise<T> {
  return await start()
    .catch(() => start())
    .catch(() => start());
}

async function clusterIsUp(port: number): Promise<void> {
  const redis = new SingleRedis({ host: '127.0.0.1', port, maxRetriesPerRequest: null });
  redis.on('error', () => {});
  try {
    await until('a Cluster that has come together', async () =>
      /cluster_state:ok[\s\S]*cluster_known_nodes:3/.test(String(await redis.cluster('INFO'))),
    );
  } finally {
    redis.disconnect();
  }
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + togetherDeadlineMs;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`never came: ${what}`);
    await sleep(50);
  }
}
