/** The link of whoever keeps this machine: `kinora sign-in`, and `kinora start` in a terminal. */
import { fstatSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { calledAs } from '../called-as.ts';
import type { Config } from '../config.ts';
import { place } from '../home.ts';
import type { Redis } from '../queue/redis.ts';
import { linkMs, ownerKey, SignInLinks, signInAddress } from '../queue/sign-in-links.ts';
import { localAddress, pageAddress } from './page-address.ts';
import { withRunningRedis } from './process.ts';

const minutes = linkMs / 60_000;
const askEveryMs = 250;

const newLink = async (redis: Redis, origin: string): Promise<string> =>
  signInAddress(origin, await new SignInLinks(redis).create({ userKey: ownerKey, scopes: ['use', 'admin'] }));

export async function printOwnersLink(config: Config): Promise<void> {
  const { origin } = pageAddress(config);
  await withRunningRedis(config, async (redis) => {
    const link = await newLink(redis, origin);
    process.stderr.write(`This link signs you in as the owner, once, within ${minutes} minutes:\n`);
    process.stdout.write(`${link}\n`);
  });
}

/**
 * Says where the page is, once it is served, with a link for the owner where only they see it.
 * @param redis over which the link is made; closed by the caller
 */
export async function announcePage(
  config: Config,
  port: number,
  redis: Redis,
  signal: AbortSignal,
): Promise<void> {
  const health = `${localAddress(config.web.host, port)}/health`;
  while (!(await answers(health, signal))) await sleep(askEveryMs, undefined, { signal });
  const { origin } = pageAddress(config, port);
  if (isKept()) {
    const where = place === 'image' ? 'in this container' : "as this process's user";
    process.stderr.write(
      `The page is at ${origin}; "${calledAs('sign-in')}", run ${where}, prints a link for you, the owner.\n`,
    );
    return;
  }
  const link = await newLink(redis, origin);
  process.stderr.write(`Open your page, as the owner. The link works once, within ${minutes} minutes:\n`);
  process.stdout.write(`${link}\n`);
}

async function answers(url: string, signal: AbortSignal): Promise<boolean> {
  return await fetch(url, { signal }).then(
    ({ ok }) => ok,
    () => {
      signal.throwIfAborted();
      return false;
    },
  );
}

/**
 * Whether what is printed stays in a file, in the journal of systemd, or in the log of a container, which has that of a
 * terminal, too: others may read those.
 */
const isKept = (): boolean =>
  place === 'image' || process.env['JOURNAL_STREAM'] !== undefined || fstatSync(1).isFile();
