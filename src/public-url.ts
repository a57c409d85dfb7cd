/** Under which address people reach the studio page. */
import { isIPv4 } from 'node:net';

const privateAddress = /^(127|10|192\.168|172\.(1[6-9]|2\d|3[01]))\./;

/**
 * Whoever has the link or the cookie is that person, so the address needs TLS, but for this machine and for addresses of
 * a private network, where there is none.
 */
export function isPublicUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password, pathname, search, hash } = new URL(text);
  if (`${username}${password}${search}${hash}` !== '' || pathname !== '/' || /[?#]$/.test(text)) return false;
  const isNear =
    hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && privateAddress.test(hostname));
  return protocol === 'https:' || (protocol === 'http:' && isNear);
}
