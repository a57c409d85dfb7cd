/** Reads REDIS_URL: one Redis, one behind Sentinels, or a Cluster. */

interface Credentials {
  readonly username?: string;
  readonly password?: string;
}

interface Host {
  readonly host: string;
  readonly port: number;
}

export type RedisTarget =
  | { readonly kind: 'single'; readonly url: string }
  | (Credentials & {
      readonly kind: 'sentinels';
      readonly hosts: readonly Host[];
      /** Under which the Sentinels know the master. */
      readonly name: string;
      readonly db: number;
      readonly isTls: boolean;
      /** Of the Sentinels themselves. */
      readonly sentinel: Credentials;
    })
  | (Credentials & { readonly kind: 'cluster'; readonly hosts: readonly Host[]; readonly isTls: boolean });

export const redisUrlExpectation =
  'expected redis://:PASSWORD@HOST:PORT/DATABASE, rediss://…, unix:///path, redis+sentinel://:PASSWORD@HOST:PORT,HOST:PORT/MASTER/DATABASE or redis+cluster://:PASSWORD@HOST:PORT,HOST:PORT; in a password, signs such as @ : / # % are written %40 %3A %2F %23 %25';

const usualPort = { sentinel: 26_379, cluster: 6_379 } as const;
const pattern =
  /^redis(?<tls>s?)\+(?<kind>sentinel|cluster):\/\/(?:(?<user>[^@/?#:]*):?(?<password>[^@/?#:]*)@)?(?<hosts>[^@/?#]+)(?:\/(?<path>[^?#]*))?(?:\?(?<query>[^#@]*))?$/;

/** @returns undefined for what is no such address */
export function readRedisUrl(text: string): RedisTarget | undefined {
  try {
    return text.includes('+') && /^rediss?\+/.test(text) ? readSeveral(text) : readSingle(text);
  } catch {
    return undefined; // not percent-encoded, or no URL
  }
}

function readSingle(url: string): RedisTarget | undefined {
  const { protocol, hostname, pathname, search, hash, username, password } = new URL(url);
  decodeURIComponent(username + password);
  const isWhole = hostname !== '' && hash === '' && !search.includes('@') && /^\/?\d*$/.test(pathname);
  return isWhole && /^rediss?:$/.test(protocol) ? { kind: 'single', url } : undefined;
}

function readSeveral(text: string): RedisTarget | undefined {
  const found = pattern.exec(text)?.groups;
  if (!found) return undefined;
  const kind = found['kind'] === 'sentinel' ? 'sentinel' : 'cluster';
  const hosts = (found['hosts'] ?? '').split(',').map((host) => readHost(host, usualPort[kind]));
  const known = hosts.filter((host) => host !== undefined);
  if (known.length < hosts.length) return undefined;
  const common = { hosts: known, isTls: found['tls'] === 's' };
  const own = credentials(found['user'], found['password']);
  const path = found['path'] ?? '';
  if (kind === 'cluster') {
    // A Cluster has the database 0 only.
    return /^0?$/.test(path) && !found['query'] ? { kind, ...common, ...own } : undefined;
  }
  const place = /^(?<name>[\w.-]+)(?:\/(?<db>\d*))?$/.exec(path)?.groups;
  if (!place) return undefined;
  const query = new URLSearchParams(found['query'] ?? '');
  for (const name of query.keys()) if (!/^sentinel(Username|Password)$/.test(name)) return undefined;
  const sentinel = {
    ...(query.has('sentinelUsername') ? { username: query.get('sentinelUsername') ?? '' } : {}),
    ...(query.has('sentinelPassword') ? { password: query.get('sentinelPassword') ?? '' } : {}),
  };
  const where = { name: place['name'] ?? '', db: Number(place['db'] ?? 0) };
  return { kind: 'sentinels', ...common, ...own, ...where, sentinel };
}

/** `host`, `host:port`, or an address of IPv6 in brackets. */
function readHost(text: string, usual: number): Host | undefined {
  const found = /^(?:\[(?<v6>[\da-f:.]+)\]|(?<host>[\w.-]+))(?::(?<port>\d{1,5}))?$/i.exec(text)?.groups;
  const host = found?.['v6'] ?? found?.['host'];
  const port = Number(found?.['port'] ?? usual);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

function credentials(user = '', password = ''): Credentials {
  return {
    ...(user === '' ? {} : { username: decodeURIComponent(user) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
  };
}
