/**
 * Calls to addresses that people gave, without being led inside: addresses of this machine and of private networks are
 * refused after the name was looked up, and the connection goes to the address that was checked, also through a proxy.
 */
import { promises as dns, type LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { Agent, fetch, type RequestInit, type Response } from 'undici';
import { connector, type ProxySettings } from '../../bot/proxies.ts';
import { isPublicAddress, objectionTo } from './addresses.ts';

export interface OutgoingOptions {
  /** The operator allows addresses of this machine and of private networks. */
  readonly mayBePrivate: boolean;
  readonly proxies?: ProxySettings;
  /** All addresses of a name; the system's where it is left out. */
  readonly lookUp?: (hostname: string) => Promise<readonly LookupAddress[]>;
}

/** The address is one of this machine or of a private network, or its name leads to one. */
class NotPublicError extends Error {}

export class Outgoing {
  readonly #mayBePrivate: boolean;
  readonly #lookUp: NonNullable<OutgoingOptions['lookUp']>;
  readonly #agent: Agent;

  constructor({ mayBePrivate, proxies = {}, lookUp }: OutgoingOptions) {
    this.#mayBePrivate = mayBePrivate;
    this.#lookUp = lookUp ?? ((hostname) => dns.lookup(hostname, { all: true }));
    this.#agent = new Agent({ connect: connector(proxies, mayBePrivate ? undefined : this.#lookUpPublic) });
  }

  /** Why a URL is not called, or undefined where it may be, as far as its text tells. */
  objectionTo(url: string): ReturnType<typeof objectionTo> {
    return objectionTo(url, this.#mayBePrivate);
  }

  /**
   * One request. Redirects are not followed.
   * @returns the answer, whose body must be read or cancelled; or why there was no request
   * @throws what fetch() throws: the server, or the way to it, is in trouble, or the signal was aborted
   */
  async call(
    url: string,
    init: Omit<RequestInit, 'redirect' | 'dispatcher'>,
  ): Promise<Response | 'malformed' | 'notPublic'> {
    const objection = this.objectionTo(url);
    if (objection) return objection;
    try {
      return await fetch(url, { ...init, redirect: 'manual', dispatcher: this.#agent });
    } catch (error) {
      if (error instanceof Error && error.cause instanceof NotPublicError) return 'notPublic';
      throw error;
    }
  }

  /** Breaks off what is under way. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  readonly #lookUpPublic: LookupFunction = (hostname, options, callback) => {
    this.#publicAddressesOf(hostname).then(
      (addresses) => {
        if (options.all) return callback(null, [...addresses]);
        callback(null, addresses[0].address, addresses[0].family);
      },
      (error: Error) => callback(error, '', 0),
    );
  };

  async #publicAddressesOf(hostname: string): Promise<readonly [LookupAddress, ...LookupAddress[]]> {
    const [first, ...others] = await this.#lookUp(hostname);
    if (!first) throw new Error('the name has no address');
    const addresses = [first, ...others] as const;
    if (!addresses.every(({ address }) => isPublicAddress(address))) throw new NotPublicError();
    return addresses;
  }
}
