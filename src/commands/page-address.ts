/** Under which address the studio page is opened: the one of the settings, or that of this machine. */
import type { Config } from '../config.ts';
import { usualWebPort } from './chats.ts';
import { CommandError } from './command-error.ts';

export interface PageAddress {
  readonly origin: string;
  /** Nobody else can open it. */
  readonly isOfThisMachine: boolean;
}

const anyAddress: ReadonlySet<string> = new Set(['0.0.0.0', '::', '[::]']);

/** Where the server is reached from this machine itself. */
export function localAddress(host: string, port: number): string {
  const name = anyAddress.has(host) ? '127.0.0.1' : host;
  return `http://${name.includes(':') && !name.startsWith('[') ? `[${name}]` : name}:${port}`;
}

/**
 * @param port on which it is served
 * @throws CommandError where it is not
 */
export function pageAddress({ web }: Config, port = web.port ?? usualWebPort): PageAddress {
  if (web.publicUrl !== undefined) return { origin: web.publicUrl, isOfThisMachine: false };
  if (port === 0) throw new CommandError('KINORA_WEB_PORT is 0, so there is no page.', 'INVALID_CONFIG');
  return { origin: localAddress(web.host, port), isOfThisMachine: true };
}
