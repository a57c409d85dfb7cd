/** Which addresses of the internet a person may send Kinora to: none of this machine, and none of private networks. */
import { BlockList, isIP } from 'node:net';

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
  ['3fff::', 20],
] as const) {
  notPublic6.addSubnet(network, prefix, 'ipv6');
}

/** @param address of IPv4 or IPv6; anything else is not public */
export function isPublicAddress(address: string): boolean {
  const [plain = ''] = address.split('%'); // of a link, as "fe80::1%eth0"
  switch (isIP(plain)) {
    case 4:
      return !notPublic4.check(plain, 'ipv4');
    case 6:
      return !notPublic6.check(plain, 'ipv6');
    default:
      return false;
  }
}

/** @param hostname of a URL; a name may be public until it is looked up */
export function mayBePublic(hostname: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, '');
  return isIP(bare) === 0 || isPublicAddress(bare);
}

/** Why a URL is not called, or undefined where it may be. */
export function objectionTo(url: string, mayBePrivate: boolean): 'malformed' | 'notPublic' | undefined {
  if (!URL.canParse(url)) return 'malformed';
  const { protocol, hostname, username, password } = new URL(url);
  const isHttp = protocol === 'https:' || protocol === 'http:';
  if (!isHttp || username !== '' || password !== '') return 'malformed';
  return mayBePrivate || mayBePublic(hostname) ? undefined : 'notPublic';
}
