/** Checks of what `npm start` needs beyond a machine that can animate: redis-server, chats, inbox, ports, secrecy. */

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { promisify } from 'node:util';
import { prepareInbox } from '../../bot/inbox-folder.ts';
import { calledAs } from '../../called-as.ts';
import { type Config, misnamedTokens } from '../../config.ts';
import { settingsFile } from '../../settings-file.ts';
import { assertSomeChat, usualWebPort } from '../chats.ts';
import { type Check, failedCheck } from './check.ts';

const answerDeadlineMs = 2_000;
const programDeadlineMs = 10_000;

/** Without REDIS_URL a server of our own is started. */
export async function checkRedisServer(): Promise<Check> {
  const name = 'Redis';
  try {
    const { stdout } = await promisify(execFile)('redis-server', ['--version'], {
      timeout: programDeadlineMs,
    });
    const version = /v=([\d.]+)/.exec(stdout)?.[1] ?? 'of an unknown version';
    return { name, state: 'ok', detail: `redis-server ${version} is here for "${calledAs('start')}"` };
  } catch {
    const remedy = 'Install it by "sudo apt install redis-server" or "brew install redis", or set REDIS_URL.';
    const detail = `there is no redis-server, which "${calledAs('start')}" needs; "${calledAs('animate')}" does not`;
    return { name, state: 'fail', detail, remedy };
  }
}

export function checkChats(config: Config): Check {
  const name = 'chats';
  const { discord, telegram, inboxFolder, web } = config;
  const chats = [
    ...(discord ? ['Discord'] : []),
    ...(telegram ? ['Telegram'] : []),
    ...(inboxFolder === undefined ? [] : ['the inbox folder']),
  ];
  const misnamed = misnamedTokens();
  const remedy = 'Its name is KINORA_DISCORD_TOKEN or KINORA_TELEGRAM_TOKEN here.';
  if (misnamed.length > 0) {
    const state = chats.length > 0 ? 'warn' : 'fail';
    return { name, state, detail: `without effect: ${misnamed.join(', ')}`, remedy };
  }
  if (chats.length > 0) return { name, state: 'ok', detail: chats.join(', ') };
  try {
    assertSomeChat(config, web.port ?? usualWebPort);
    return { name, state: 'ok', detail: `none is set; "${calledAs('start')}" opens the API alone` };
  } catch (error) {
    return failedCheck(name, error);
  }
}

export async function checkInbox({ inboxFolder }: Config): Promise<Check[]> {
  const name = 'inbox';
  if (inboxFolder === undefined) return [];
  try {
    await prepareInbox(inboxFolder);
    return [{ name, state: 'ok', detail: `${inboxFolder} can be read and written` }];
  } catch (error) {
    return [failedCheck(name, error)];
  }
}

/** Only where something is wrong. */
export async function checkPorts({ metricsPorts, metricsHost, web }: Config): Promise<Check[]> {
  const ports = [
    ...(web.port === undefined ? [[usualWebPort, web.host, '/health', 'KINORA_WEB_PORT'] as const] : []),
    ...(web.port ? [[web.port, web.host, '/health', 'KINORA_WEB_PORT'] as const] : []),
    ...Object.values(metricsPorts ?? {}).map(
      (port) => [port, metricsHost, '/healthz', 'KINORA_METRICS_PORT'] as const,
    ),
  ];
  const checks = ports.map(async ([port, host, page, setting]): Promise<Check | undefined> => {
    const code = await whyNotFree(port, host);
    if (code === undefined) return undefined;
    const name = 'ports';
    const remedy = `Set ${setting} to another port, or end what uses this one.`;
    if (code === 'EADDRINUSE' && (await isKinora(port, host, page))) {
      return { name, state: 'ok', detail: `a running Kinora answers on ${host}:${port}` };
    }
    // "npm start" goes on without the API where nobody asked for it.
    const state = setting === 'KINORA_WEB_PORT' && web.port === undefined ? 'warn' : 'fail';
    return { name, state, detail: `${host}:${port} cannot be used (${code})`, remedy };
  });
  return (await Promise.all(checks)).filter((check) => check !== undefined);
}

async function whyNotFree(port: number, host: string): Promise<string | undefined> {
  const server = createServer().listen(port, host);
  try {
    await once(server, 'listening');
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    server.close();
  }
}

async function isKinora(port: number, host: string, page: string): Promise<boolean> {
  try {
    const answer = await fetch(`http://${host}:${port}${page}`, {
      signal: AbortSignal.timeout(answerDeadlineMs),
    });
    return (await answer.text()).includes('"status"');
  } catch {
    return false;
  }
}

/** Only where others may read or change the file of settings. */
export async function checkSecrecy(file = settingsFile()): Promise<Check[]> {
  const stats = await stat(file).catch(() => undefined);
  if (!stats?.isFile() || process.platform === 'win32' || (stats.mode & 0o077) === 0) return [];
  const mode = (stats.mode & 0o777).toString(8);
  const detail = `others on this machine may read or change ${file} (mode ${mode}), which holds tokens`;
  return [{ name: 'secrecy', state: 'warn', detail, remedy: `Run: chmod 600 "${file}"` }];
}
