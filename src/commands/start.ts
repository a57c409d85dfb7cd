/** `kinora start`: the bot, a worker and, without REDIS_URL, a private Redis, each a process of its own. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Config } from '../config.ts';
import { isKinoraError } from '../errors.ts';
import { createLogger, type Logger } from '../log.ts';
import { Keys } from '../queue/keys.ts';
import { shareLog } from '../queue/live-log.ts';
import { assertTrustworthy, connectRedis, type RedisAddress } from '../queue/redis.ts';
import { assertSchema } from '../queue/schema.ts';
import { SupervisedProcess } from '../supervisor/supervised-process.ts';
import { SupervisedRedis } from '../supervisor/supervised-redis.ts';
import { whenPortIsFree } from '../web/port.ts';
import { assertSomeChat, usualWebPort } from './chats.ts';
import { CommandError } from './command-error.ts';
import { assertShortcuts, choosePacks } from './packs.ts';
import { endRequested, prepareDataFolder } from './process.ts';
import { announcePage } from './sign-in.ts';

/**
 * Serves until it is asked to end. A process that dies is started again, unless its first start refused the settings.
 * When this process ends, the others do.
 */
export async function runAll(config: Config): Promise<void> {
  const log = createLogger('kinora', config.logLevel);
  // Checked here too: a process that refuses its settings later would be started again and again.
  assertSomeChat(config, config.web.port ?? usualWebPort);
  for (const pack of await choosePacks(config)) assertShortcuts(config.shortcuts, pack);
  await prepareDataFolder(config);
  if (config.redis) await refuseUntrustworthy(config.redis);
  const ended = endRequested();
  const redis = config.redis ? undefined : await startOwnRedis(config, log, ended);
  const address = config.redis ?? redis;
  const sharing = address && shareLog(address);
  const webPort = config.web.port ?? (await usualPortIfFree(config.web.host));
  const environment = {
    ...process.env,
    KINORA_WEB_PORT: String(webPort),
    ...(redis ? { REDIS_URL: `unix://${redis.socketPath}` } : {}),
  };
  const processes = (['bot', 'worker'] as const).map(
    (command) => new SupervisedProcess(command, environment, log),
  );
  process.stderr.write(
    `Kinora is running: model ${config.models.join(', ')}, ${redis ? 'its own Redis' : 'your Redis'}, data in ${config.dataDir}${webPort ? `, API at http://${config.web.host}:${webPort}` : ''}.\n`,
  );
  const announcing = new AbortController();
  const announced = announce(config, webPort, redis, announcing.signal, log);
  try {
    // A process that refuses has printed the reason itself.
    const refused = await Promise.race([ended, ...processes.map((child) => child.refused)]);
    if (refused !== undefined) process.exitCode = refused;
  } finally {
    announcing.abort();
    await announced;
    // The worker first: it may use its grace period, and the bot delivers the jobs that it finishes.
    for (const child of processes.reverse()) await child.stop();
    sharing?.stop();
    await redis?.stop();
  }
}

/** Ends with the signal at the latest. Without the link everything else serves all the same. */
async function announce(
  config: Config,
  webPort: number,
  own: SupervisedRedis | undefined,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  const address = own ? { socketPath: own.socketPath } : config.redis;
  if (webPort === 0 || !address) return;
  const redis = connectRedis(address, 'fail-fast', () => {});
  try {
    await announcePage(config, webPort, redis, signal);
  } catch (error) {
    if (!signal.aborted) log.warn({ err: String(error) }, 'the link for the owner could not be made');
  } finally {
    redis.disconnect();
  }
}

/** What keeps it from starting is mostly no setting: its sentences say themselves what to do. */
async function startOwnRedis(config: Config, log: Logger, end: Promise<void>): Promise<SupervisedRedis> {
  try {
    return await SupervisedRedis.start(config.dataDir, log, end);
  } catch (error) {
    throw isKinoraError(error) ? new CommandError(error.message, error.code) : error;
  }
}

/** The API is nobody's wish where no port is set: another program on it must not keep the chats from starting. */
async function usualPortIfFree(host: string): Promise<number> {
  try {
    await whenPortIsFree(async () => {
      const probe = createServer().listen(usualWebPort, host);
      await once(probe, 'listening');
      probe.close();
    });
    return usualWebPort;
  } catch {
    process.stderr.write(
      `${host}:${usualWebPort} is in use, so there is no API; set KINORA_WEB_PORT to another port.\n`,
    );
    return 0;
  }
}

/** Says what it forgets. One that does not answer may still come up: bot and worker wait for it. */
async function refuseUntrustworthy(address: RedisAddress): Promise<void> {
  const redis = connectRedis(address, 'fail-fast', () => {});
  try {
    const forgets = await assertTrustworthy(redis);
    if (forgets !== undefined) process.stderr.write(`${forgets}\n`);
    await assertSchema(redis, new Keys());
  } catch (error) {
    if (isKinoraError(error)) throw error;
  } finally {
    redis.disconnect();
  }
}
