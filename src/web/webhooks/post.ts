/**
 * Posts to an address that a person gave, without being led inside: addresses of this machine and of private networks
 * are refused after the name was looked up, and the connection goes to the address that was checked.
 */
import { type LookupAddress, lookup } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';

// Two lists: IPv4 addresses are looked up in networks of IPv6 as well, where they begin with zeros.
const notPublic4 = new BlockList();
const notPublic6 = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const) {
  notPublic4.addSubnet(network, prefix, 'ipv4');
}
// All of IPv6 but 2000::/3, in which tunnels to IPv4 and documentation are no better.
for (const [network, prefix] of [
  ['::', 3],
  ['4000::', 2],
  ['8000::', 1],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
] as const) {
  notPublic6.addSubnet(network, prefix, 'ipv6');
}

/** @param address as a URL names it, with or without brackets; names are public until they are looked up */
export function isPublicAddress(address: string): boolean {
  const bare = address.replace(/^\[|\]$/g, '');
  const family = isIP(bare);
  if (family === 0) return true;
  return family === 4 ? !notPublic4.check(bare, 'ipv4') : !notPublic6.check(bare, 'ipv6');
}

const lookUpPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
    const [first] = addresses ?? [];
    if (error || !first) return callback(error ?? new Error('the name has no address'), '', 0);
    if (!addresses.every(({ address }) => isPublicAddress(address))) {
      return callback(new Error('the name leads to an address that is not public'), '', 0);
    }
    if (options.all) return callback(null, addresses);
    callback(null, first.address, first.family);
  });
};

/**
 * Redirects are not followed, and the answer's body is not read.
 * @param mayBePrivate the operator allows addresses of this machine and of private networks
 * @returns the status
 */
export async function post(
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
  { mayBePrivate, deadlineMs }: { readonly mayBePrivate: boolean; readonly deadlineMs: number },
): Promise<number> {
  const { protocol, hostname } = new URL(url);
  if (!mayBePrivate && !isPublicAddress(hostname)) throw new Error('the address is not public');
  const request = protocol === 'https:' ? requestHttps : requestHttp;
  return await new Promise<number>((resolve, reject) => {
    const sending = request(url, {
      method: 'POST',
      headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) },
      signal: AbortSignal.timeout(deadlineMs),
      agent: false,
      ...(mayBePrivate ? {} : { lookup: lookUpPublic }),
    });
    sending.on('error', reject).on('response', (response) => {
      resolve(response.statusCode ?? 0);
      response.on('error', () => {}).destroy();
    });
    sending.end(body);
  });
}
