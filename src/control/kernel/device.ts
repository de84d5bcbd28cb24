/** The overlay device as flannel configures it: its MAC (vxlan only), MTU, `<subnet base>/32` or `/128`, up. */

import { readFile, writeFile } from 'node:fs/promises';
import { type Cidr, containsAddress, formatCidr, formatHost } from '../addresses/cidr.js';
import { familyOf, formatIp, type Ip, isLinkLocal } from '../addresses/ip.js';
import { warn } from '../support/log.js';
import { UserError } from '../support/user-error.js';
import { diverts } from './diverts.js';
import { ipRun } from './ip.js';
import { ALIAS } from './left-devices.js';
import { type Link, readLinks } from './links.js';
import type { Repairs } from './repairs.js';
import type { LinkState } from './snapshot.js';
import { alreadyRuns, findWeftProcess } from './tun-holders.js';

/**
 * Frames that the kernel may queue per queue of the device. The tun driver drops when its ring is full and slows no TCP
 * sender down (drivers/net/tun.c orphans every skb that it queues). So the ring must hold a burst of every sender: with
 * 500 one TCP stream lost 4 % of its segments, with 2000 none.
 */
const TX_QUEUE_LENGTH = 2000;

/** How long NAPI may delay a joined packet to wait for the next segment, in ns: decision 1 states gain and cost. */
const GRO_FLUSH_NS = '20000';

export interface DeviceState {
  name: string;
  /** Undefined for a TUN, which has no MAC. */
  mac: string | undefined;
  mtu: number;
  subnet: Cidr;
}

/** The error for a device of this name that another process has. */
export class NameTaken extends UserError {
  constructor(message: string, fix?: string) {
    const why = "Weft's own device needs the name and the pod network, and Weft does not start beside it.";
    super(message, { id: 'device-taken', why, ...(fix !== undefined && { fix }) });
  }
}

/** The error for a device that no longer exists. */
export class DeviceGone extends UserError {}

/** The alternative to removing a vxlan device that has the name of the overlay device. */
const ADOPT = 'start Weft with --adopt, which replaces it and keeps its MAC, or ';

/** Refuses to start beside a device of this name. @throws NameTaken, which states what the device is and what to do */
export function refuseExisting(links: readonly Link[], name: string): void {
  const link = links.find((candidate) => candidate.name === name);
  if (link !== undefined) throw nameTaken(link, 'exists', ADOPT);
}

/**
 * Refuses to start beside a device of another backend that carries the same network: the kernel would split the pods'
 * packets between both devices. @throws UserError, which states what the device is and what to do
 */
export function refuseRival(links: readonly Link[], names: RegExp, network: Cidr): void {
  const link = links.find(
    (candidate) =>
      names.test(candidate.name) &&
      candidate.usable[familyOf(network.base)].some((address) => containsAddress(network, address)),
  );
  if (link !== undefined) throw nameTaken(link, `carries ${formatCidr(network)} already`);
}

/** `adopt` names the alternative to removing a vxlan device. */
function nameTaken(link: Link, what: string, adopt = ''): NameTaken {
  const { name } = link;
  const remove = `ip link delete ${name}`;
  if (link.kind === 'vxlan') {
    const { id, port } = link.data;
    return new NameTaken(
      `${name} ${what}: it is a kernel vxlan device (VNI ${id}, UDP port ${port}), as flanneld creates it; stop flanneld, then ${adopt}remove the device: ${remove}`,
      remove,
    );
  }
  if (link.kind === 'tun') {
    const weft = findWeftProcess(name);
    if (weft !== undefined) return new NameTaken(alreadyRuns(weft));
    return new NameTaken(
      `${name} ${what}: it is a tun/tap device of another process; stop that process (perhaps another Weft or flanneld), or remove the device: ${remove}`,
      remove,
    );
  }
  return new NameTaken(
    `${name} ${what}: it is a ${link.kind ?? 'physical'} device; remove or rename it: ${remove}`,
    remove,
  );
}

/** Returns the kernel's own vxlan device of this name, if there is one. */
export function kernelVxlan(links: readonly Link[], name: string): Link | undefined {
  return links.find((link) => link.name === name && link.kind === 'vxlan');
}

/**
 * Configures the new device, brings it up, and returns its index. @throws DeviceGone; UserError naming the command that
 * failed
 */
export async function configureDevice(device: DeviceState): Promise<number> {
  const { name, mac, mtu, subnet } = device;
  await runOn(name, [
    `link set dev ${name}${mac === undefined ? '' : ` address ${mac}`} mtu ${mtu} txqueuelen ${TX_QUEUE_LENGTH} alias ${ALIAS}`,
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

/**
 * Returns the command that sets the address. No other node can have it, so `nodad` makes an IPv6 address usable at
 * once.
 */
function replaceAddress(name: string, base: Ip): string {
  return `address replace ${formatHost(base)} dev ${name}${familyOf(base) === 'ipv6' ? ' nodad' : ''}`;
}

/**
 * Compares the device with its desired state and repairs the differences. Like flannel it removes other addresses of
 * the cluster's IPv4 network. It removes addresses that divert the underlay (`diverts.ts`) and keeps the rest. Of IPv6
 * it keeps only link-local addresses, which the kernel assigns. `index` distinguishes the device from another one of its
 * name. @throws DeviceGone; UserError naming the command that failed
 */
export async function repairDevice(
  device: DeviceState,
  index: number | undefined,
  network: Cidr,
  links: readonly LinkState[],
  underlay: readonly Ip[],
): Promise<Repairs> {
  const { name, mac, mtu, subnet } = device;
  const link = links.find((candidate) => candidate.name === name);
  if (link === undefined || link.index !== index) throw new DeviceGone(`${name} is gone`);
  const own = formatHost(subnet.base);
  const addresses = link.assigned
    .filter(({ address }) => !isLinkLocalIpv6(address))
    .map(({ address, prefixLength }) => ({
      address,
      prefixLength,
      text: `${formatIp(address)}/${prefixLength}`,
    }));
  const repairs: Repairs = {};
  const commands: string[] = [];
  const repair = (kind: string, command: string): void => {
    repairs[kind] = (repairs[kind] ?? 0) + 1;
    commands.push(command);
  };
  // A bridge takes every frame that arrives from the tunnel.
  if (link.master !== undefined) repair('master', `link set dev ${name} nomaster`);
  if (link.alias !== ALIAS) repair('alias', `link set dev ${name} alias ${ALIAS}`);
  // The MTU comes first: below 1280 a device has no IPv6 (RFC 8200, 5) and accepts no IPv6 address.
  if (mac !== undefined && link.mac !== mac) repair('mac', `link set dev ${name} address ${mac}`);
  if (link.mtu !== mtu) repair('mtu', `link set dev ${name} mtu ${mtu}`);
  if (!addresses.some(({ text }) => text === own)) repair('address', replaceAddress(name, subnet.base));
  for (const { address, prefixLength, text } of addresses) {
    if (text === own) continue;
    if (isForeign(network, address) || diverts({ base: address, prefixLength }, underlay))
      repair('address', `address delete ${text} dev ${name}`);
  }
  if (!link.up) repair('link', `link set dev ${name} up`);
  await runOn(name, commands);
  return repairs;
}

function isLinkLocalIpv6(address: Ip): boolean {
  return familyOf(address) === 'ipv6' && isLinkLocal(address);
}

function isForeign(network: Cidr, address: Ip): boolean {
  return familyOf(network.base) === 'ipv6' || containsAddress(network, address);
}

/** Changes the MTU of the device, in bytes. @throws DeviceGone; UserError naming the command that failed */
export async function setMtu(name: string, mtu: number): Promise<void> {
  await runOn(name, [`link set dev ${name} mtu ${mtu}`]);
}

/** Applies a change of this node's own lease. @throws DeviceGone; UserError naming the command that failed */
export async function reconfigureDevice(before: DeviceState, after: DeviceState): Promise<void> {
  const commands: string[] = [];
  if (after.mac !== before.mac) commands.push(`link set dev ${after.name} address ${after.mac}`);
  if (after.subnet.base !== before.subnet.base) {
    commands.push(replaceAddress(after.name, after.subnet.base));
    commands.push(`address delete ${formatHost(before.subnet.base)} dev ${after.name}`);
  }
  await runOn(after.name, commands);
}

/** Restores the lease's MAC, to which the peers send: systemd-udevd (MACAddressPolicy) may assign another one. */
async function verifyLink(name: string, mac: string | undefined): Promise<Link> {
  const link = await findLink(name);
  if (link === undefined)
    throw new DeviceGone(`${name} disappeared during its set-up; find and stop the process that removes it`);
  if (mac === undefined || link.mac === mac) return link;
  warn(
    `${name}'s mac address wanted: ${mac}, but got: ${link.mac}; setting it again (see MACAddressPolicy in systemd.link)`,
  );
  await ipRun([`link set dev ${name} address ${mac}`]);
  return link;
}

/**
 * Gives the device's NAPI a kernel thread (Linux 5.12). Frames that Weft writes then queue up and are received
 * together, as GRO needs them. Without it the kernel receives every frame alone, inside the write (docs/benchmarks.md).
 * An older kernel or a read-only /sys leaves the device without it.
 */
export async function threadNapi(name: string, index: number, mac = ''): Promise<void> {
  const directory = `/sys/class/net/${name}`;
  try {
    // /sys may show another network namespace with a device of the same name.
    for (const [file, expected] of [
      ['ifindex', String(index)],
      ['address', mac],
    ] as const) {
      if ((await readFile(`${directory}/${file}`, 'utf8')).trim() !== expected) return;
    }
    await writeFile(`${directory}/threaded`, '1');
    await writeFile(`${directory}/gro_flush_timeout`, GRO_FLUSH_NS);
  } catch {
    return;
  }
}
