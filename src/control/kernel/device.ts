/** The overlay device as flannel sets it up: MAC if it has one, MTU, `<subnet base>/32` or `/128`, up. */

import { readFile, writeFile } from 'node:fs/promises';
import { type Cidr, containsAddress, formatCidr, formatHost } from '../addresses/cidr.js';
import type { Family } from '../addresses/family.js';
import { familyOf, formatIp, type Ip, isLinkLocal } from '../addresses/ip.js';
import { warn } from '../support/log.js';
import { UserError } from '../support/user-error.js';
import { ipRun } from './ip.js';
import { type Link, readLinks } from './links.js';

/**
 * Frames the kernel may queue for one queue of the device. The tun driver drops when its ring is full, and no pod's TCP is told
 * to wait (drivers/net/tun.c orphans every skb it queues), so the ring has to hold a burst of every sender: with 500
 * one TCP stream lost 4 % of its segments, with 2000 none.
 */
const TX_QUEUE_LENGTH = 2000;

/** How long NAPI may hold a joined packet back for the next segment, in ns: decision 1 has what it gives and costs. */
const GRO_FLUSH_NS = '20000';

export interface DeviceState {
  name: string;
  /** undefined for a TUN, which has none. */
  mac: string | undefined;
  mtu: number;
  subnet: Cidr;
}

/** Someone else has a device of the name. */
export class NameTaken extends UserError {}

/** The other way out for a device that ours can take the place of, which is one of the same name. */
const ADOPT = 'start weft with --adopt, which replaces it and keeps its MAC, or ';

/** Refuses to start beside a device of this name, whoever made it. @throws NameTaken saying what it is and what to do */
export function refuseExisting(links: readonly Link[], name: string): void {
  const link = links.find((candidate) => candidate.name === name);
  if (link !== undefined) throw existing(link, 'exists', ADOPT);
}

/**
 * Refuses to start beside a device of another backend that carries the same network, by whoever made it: its routes and
 * ours would part the pods' packets between them. @throws UserError saying what it is and what to do
 */
export function refuseRival(links: readonly Link[], names: RegExp, network: Cidr): void {
  const link = links.find(
    (candidate) =>
      names.test(candidate.name) &&
      candidate.usable[familyOf(network.base)].some((address) => containsAddress(network, address)),
  );
  if (link !== undefined) throw existing(link, `carries ${formatCidr(network)} already`);
}

/** `adopt`: what else there is to do about a vxlan device than to remove it. */
function existing(link: Link, what: string, adopt = ''): NameTaken {
  const { name } = link;
  const remove = `ip link delete ${name}`;
  if (link.kind === 'vxlan') {
    const { id, port } = link.data;
    return new NameTaken(
      `${name} ${what}: it is a kernel vxlan device (VNI ${id}, UDP port ${port}), as flanneld makes it; stop flanneld, then ${adopt}remove it: ${remove}`,
    );
  }
  if (link.kind === 'tun') {
    return new NameTaken(
      `${name} ${what}: it is a tun/tap device of another process; end that process (another weft, flanneld?), or remove it: ${remove}`,
    );
  }
  return new NameTaken(
    `${name} ${what}: it is a ${link.kind ?? 'physical'} device; remove or rename it: ${remove}`,
  );
}

/** The kernel's own vxlan device of this name, if there is one. */
export function kernelVxlan(links: readonly Link[], name: string): Link | undefined {
  return links.find((link) => link.name === name && link.kind === 'vxlan');
}

/**
 * Configures the fresh device, brings it up and returns its index. @throws DeviceGone; UserError naming the command that
 * failed
 */
export async function configureDevice(device: DeviceState): Promise<number> {
  const { name, mac, mtu, subnet } = device;
  await runOn(name, [
    `link set dev ${name}${mac === undefined ? '' : ` address ${mac}`} mtu ${mtu} txqueuelen ${TX_QUEUE_LENGTH}`,
    replaceAddress(name, subnet.base),
    `link set dev ${name} up`,
  ]);
  const { index } = await verifyLink(name, mac);
  await threadNapi(name, index, mac);
  return index;
}

async function runOn(name: string, commands: readonly string[]): Promise<void> {
  try {
    await ipRun(commands);
  } catch (error) {
    throw (await findLink(name)) === undefined ? new DeviceGone(`${name} is gone`) : error;
  }
}

async function findLink(name: string): Promise<Link | undefined> {
  return (await readLinks()).find((candidate) => candidate.name === name);
}

/** Nobody else can have the address: an IPv6 one is in force without asking the network. */
function replaceAddress(name: string, base: Ip): string {
  return `address replace ${formatHost(base)} dev ${name}${familyOf(base) === 'ipv6' ? ' nodad' : ''}`;
}

/** The device does not exist any more. */
export class DeviceGone extends UserError {}

/** Objects put right, by kind: `address`, `route` ... */
export type Repairs = Record<string, number>;

/**
 * Compares the device with what it should be and puts right what is not. As with flannel, addresses of the cluster's
 * IPv4 network that are not its own go and any other may stay; of IPv6 only the kernel's own, link-local ones may.
 * `index` tells it from another that has taken its name. @throws DeviceGone; UserError naming the command that failed
 */
export async function repairDevice(device: DeviceState, index: number, network: Cidr): Promise<Repairs> {
  const { name, mac, mtu, subnet } = device;
  const link = await findLink(name);
  if (link?.index !== index) throw new DeviceGone(`${name} is gone`);
  const own = formatHost(subnet.base);
  const addresses = assignedTo(link, familyOf(subnet.base));
  const repairs: Repairs = {};
  const commands: string[] = [];
  const put = (kind: string, command: string): void => {
    repairs[kind] = (repairs[kind] ?? 0) + 1;
    commands.push(command);
  };
  // First the MTU: below 1280 a device has no IPv6 at all (RFC 8200, 5), nor can it have an address.
  if (mac !== undefined && link.mac !== mac) put('mac', `link set dev ${name} address ${mac}`);
  if (link.mtu !== mtu) put('mtu', `link set dev ${name} mtu ${mtu}`);
  if (!addresses.some(({ text }) => text === own)) put('address', replaceAddress(name, subnet.base));
  for (const { address, text } of addresses) {
    if (text !== own && isForeign(network, address)) put('address', `address delete ${text} dev ${name}`);
  }
  if (!link.up) put('link', `link set dev ${name} up`);
  await runOn(name, commands);
  return repairs;
}

/** The addresses of a family, without those that the kernel gave the device; `text` has the prefix length. */
function assignedTo(link: Link, family: Family): { address: Ip; text: string }[] {
  return link.assigned
    .filter(({ address }) => familyOf(address) === family && !isKernels(address))
    .map(({ address, prefixLength }) => ({ address, text: `${formatIp(address)}/${prefixLength}` }));
}

function isKernels(address: Ip): boolean {
  return familyOf(address) === 'ipv6' && isLinkLocal(address);
}

function isForeign(network: Cidr, address: Ip): boolean {
  return familyOf(network.base) === 'ipv6' || containsAddress(network, address);
}

/** Follows a change of this node's own lease. @throws DeviceGone; UserError naming the command that failed */
export async function reconfigureDevice(before: DeviceState, after: DeviceState): Promise<void> {
  const commands: string[] = [];
  if (after.mac !== before.mac) commands.push(`link set dev ${after.name} address ${after.mac}`);
  if (after.subnet.base !== before.subnet.base) {
    commands.push(replaceAddress(after.name, after.subnet.base));
    commands.push(`address delete ${formatHost(before.subnet.base)} dev ${after.name}`);
  }
  await runOn(after.name, commands);
}

/** systemd-udevd (MACAddressPolicy) may give a new device a MAC of its own; the peers send to the lease's. */
async function verifyLink(name: string, wanted: string | undefined): Promise<Link> {
  const link = await findLink(name);
  if (link === undefined)
    throw new DeviceGone(`${name} disappeared while it was set up; is another process removing it?`);
  if (wanted === undefined || link.mac === wanted) return link;
  warn(
    `${name}'s mac address wanted: ${wanted}, but got: ${link.mac}; setting it again (see MACAddressPolicy in systemd.link)`,
  );
  await ipRun([`link set dev ${name} address ${wanted}`]);
  return link;
}

/**
 * Gives the device's NAPI a kernel thread (5.12): frames that Weft writes while it works queue up and are received
 * together, as GRO needs them; without it every frame is received alone, inside the write. Measured in
 * docs/benchmarks.md. An older kernel or a read-only /sys leaves it at that.
 */
async function threadNapi(name: string, index: number, mac = ''): Promise<void> {
  const directory = `/sys/class/net/${name}`;
  try {
    // /sys may show another network namespace, with a device of this name that is not ours.
    for (const [file, wanted] of [
      ['ifindex', String(index)],
      ['address', mac],
    ] as const) {
      if ((await readFile(`${directory}/${file}`, 'utf8')).trim() !== wanted) return;
    }
    await writeFile(`${directory}/threaded`, '1');
    await writeFile(`${directory}/gro_flush_timeout`, GRO_FLUSH_NS);
  } catch {
    return;
  }
}
