/**
 * Several hosts on this machine: network namespaces, joined by a bridge in the namespace of whoever calls. Needs root, and
 * a mount namespace of its own (run.ts), with which all of it goes when its processes end.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Exists inside the namespaces only. */
const subnet = '10.77.0';
/** Where the caller is: the internet with its people and chats. */
export const outside = `${subnet}.1`;
const bridge = 'kinora0';

export interface Plug {
  readonly name: string;
  readonly address: string;
  /** Its network namespace. */
  readonly file: string;
}

export class Network {
  readonly #folder: string;
  readonly #plugs = new Map<string, Plug>();

  /** @param folder for the names of the namespaces, which nobody else sees there */
  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', 'kinora', folder]);
    ip('link', 'set', 'lo', 'up');
    ip('link', 'add', bridge, 'type', 'bridge');
    ip('address', 'add', `${outside}/24`, 'dev', bridge);
    ip('link', 'set', bridge, 'up');
  }

  /** Where a host of that name is connected, with nothing wrong there. */
  plug(name: string): Plug {
    const known = this.#plugs.get(name);
    if (known) {
      heal(known);
      return known;
    }
    const [file, address] = [join(this.#folder, name), `${subnet}.${this.#plugs.size + 2}`];
    writeFileSync(file, '');
    execFileSync('unshare', [`--net=${file}`, 'true']);
    const plug = { name, address, file };
    ip('link', 'add', `to-${name}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', file);
    ip('link', 'set', `to-${name}`, 'master', bridge, 'up');
    within(plug, 'ip', 'address', 'add', `${address}/24`, 'dev', 'eth0');
    within(plug, 'ip', 'link', 'set', 'lo', 'up');
    within(plug, 'ip', 'link', 'set', 'eth0', 'up');
    this.#plugs.set(name, plug);
    return plug;
  }
}

const ip = (...words: string[]): Buffer => execFileSync('ip', words);
const within = ({ file }: Plug, ...words: string[]): Buffer =>
  execFileSync('nsenter', [`--net=${file}`, ...words]);

/**
 * Packets vanish, and nobody gets an error: connections hang.
 * @param others only what comes from them and goes to them
 */
export function cut(plug: Plug, ...others: readonly Plug[]): void {
  const from = others.length > 0 ? others.map(({ address }) => ['-s', address]) : [['-i', 'eth0']];
  const to = others.length > 0 ? others.map(({ address }) => ['-d', address]) : [['-o', 'eth0']];
  for (const match of from) within(plug, 'iptables', '-A', 'INPUT', ...match, '-j', 'DROP');
  for (const match of to) within(plug, 'iptables', '-A', 'OUTPUT', ...match, '-j', 'DROP');
}

/** Nothing is cut, and nothing slow, any more. */
export function heal(plug: Plug): void {
  within(plug, 'iptables', '-F');
  within(plug, 'tc', 'qdisc', 'replace', 'dev', 'eth0', 'root', 'pfifo');
  execFileSync('tc', ['qdisc', 'replace', 'dev', `to-${plug.name}`, 'root', 'pfifo']);
}

/** Its link carries so much in each direction, with half a second of packets before it. */
export function slowDown(plug: Plug, kilobits: number): void {
  const rate = ['root', 'tbf', 'rate', `${kilobits}kbit`, 'burst', '16kb', 'latency', '500ms'];
  within(plug, 'tc', 'qdisc', 'replace', 'dev', 'eth0', ...rate);
  execFileSync('tc', ['qdisc', 'replace', 'dev', `to-${plug.name}`, ...rate]);
}
