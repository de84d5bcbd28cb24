/** The plan of a run. Weft reads and checks everything before it changes this node or the cluster. */

import { existsSync } from 'node:fs';
import type { DeviceOrigin, Handover, PeerCheck } from '../dataplane/dataplane.js';
import type { Cidr } from './addresses/cidr.js';
import { type Family, familiesIn, type PerFamily, valueIn } from './addresses/family.js';
import { formatIp, type Ip } from './addresses/ip.js';
import type { Backend } from './backends/backend.js';
import { udpBackend } from './backends/udp.js';
import { vxlanBackend } from './backends/vxlan/backend.js';
import type { NetConf } from './config/net-conf.js';
import type { FirewallOptions } from './firewall/rules.js';
import { kernelVxlan, refuseExisting, refuseRival } from './kernel/device.js';
import {
  isLeft,
  obsoleteDevices,
  type RecordedDevice,
  suits,
  type TunDevice,
} from './kernel/left-devices.js';
import { type Link, localAddresses } from './kernel/links.js';
import type { Lease } from './leases/lease.js';
import type { Cluster, LeaseRequest } from './leases/source.js';
import type { RunOptions } from './options.js';
import { type PodSubnets, readSubnetEnv } from './subnet-env.js';
import { info, warn } from './support/log.js';
import { UserError } from './support/user-error.js';
import { type FamilyAddress, logUnderlay, type Underlay } from './underlay/choose.js';
import { type ChosenUnderlay, type PresentUnderlay, UnderlayTracker } from './underlay/tracker.js';

/** Exists if the kernel has IPv6, also where no interface uses it (net/ipv6/addrconf.c). */
const IPV6_FILE = '/proc/net/if_inet6';
/** An IPv6 link carries packets of 1280 bytes (RFC 8200, 5); Linux has no IPv6 on a device with less. */
const MIN_MTU6 = 1280;

/** The dataplanes that a running Weft hands over, by device. */
export type Handovers = ReadonlyMap<string, Handover>;

export interface Plan {
  netConf: NetConf;
  links: Link[];
  underlay: Underlay;
  /** One plan per family, IPv4 first. */
  families: FamilyPlan[];
  /** Names of the devices of an earlier run that this one cannot use. */
  obsolete: readonly string[];
  request: LeaseRequest;
  /** The content of subnet.env from an earlier run. */
  previous: PerFamily<Partial<PodSubnets>>;
  /** The largest packet of a pod that every device can carry, in bytes. */
  podMtu: number;
}

/** The plan for one family, which has a device, a tunnel and leases of its own. */
export interface FamilyPlan {
  family: Family;
  backend: Backend;
  /** The pod network of the cluster. */
  network: Cidr;
  /** The underlay interface, and this family's addresses on it. */
  link: Link;
  address: FamilyAddress;
  /** Every address of this machine. */
  local: readonly Ip[];
  /** The kernel's vxlan device that --adopt replaces. */
  adopted: Link | undefined;
  /** Whether the device is new, left by an earlier run, or handed over by a running Weft. */
  origin: DeviceOrigin | Handover;
  /** MTU of the device, in bytes. */
  mtu: number;
  /** MTU of the pods: the lowest of all families. */
  podMtu: number;
  peerCheck: PeerCheck;
}

/**
 * Checks the options against the network configuration, before Weft waits for anything on this machine. Returns the tracker
 * of the underlay. @throws UserError
 */
export function underlayTracker(options: RunOptions, { netConf, publicIps }: Cluster): UnderlayTracker {
  const enabled = familiesIn(netConf.networks);
  if (enabled.length === 0) {
    throw new UserError(
      `none defined stack: EnableIPv4 and EnableIPv6 are both false in ${netConf.origin}; set one of them to true`,
    );
  }
  refuseLearning(options, netConf);
  if (enabled.includes('ipv6') && !existsSync(IPV6_FILE)) {
    throw new UserError(
      `this kernel has no IPv6 (${IPV6_FILE} is missing): remove ipv6.disable=1 from its command line, or set EnableIPv6 to false in ${netConf.origin}`,
    );
  }
  const publicIp = { ...options.underlay.publicIp, ...publicIps };
  return new UnderlayTracker({ ...options.underlay, publicIp }, enabled);
}

/** What is there of other runs. */
export interface Predecessors {
  /** The dataplanes of a running Weft. */
  handovers: Handovers;
  /** The devices in the journal of an earlier run. */
  recorded: readonly RecordedDevice[];
}

/** Reads and checks everything else. @throws UserError naming the first problem; nothing has changed then */
export async function makePlan(
  options: RunOptions,
  { netConf }: Cluster,
  underlay: ChosenUnderlay,
  before: Predecessors,
): Promise<Plan> {
  const enabled = familiesIn(netConf.networks);
  const wanted = enabled.map((family) => tunDevice(options, netConf, family));
  refuseOtherDevices(before.handovers, wanted);
  const obsolete = obsoleteDevices(underlay.links, wanted, before.recorded);
  const links = underlay.links.filter((link) => !obsolete.includes(link));
  const devices = enabled.map((family) =>
    planDevice(options, netConf, { ...underlay, links }, family, before),
  );
  const podMtu = lowestMtu(devices);
  const families = devices.map((device) => ({ ...device, podMtu }));
  const previous = await readSubnetEnv(options.subnetFile);
  return {
    netConf,
    links,
    underlay,
    families,
    obsolete: obsolete.map(({ name }) => name),
    request: leaseRequest(netConf, families, (family) => previous[family]?.subnet),
    previous,
    podMtu,
  };
}

/** Returns the MTU of the pods: the lowest of all families, but enough for IPv6. */
export function lowestMtu(plans: readonly Pick<FamilyPlan, 'mtu' | 'family'>[]): number {
  const lowest = Math.min(...plans.map(({ mtu }) => mtu));
  return plans.some(({ family }) => family === 'ipv6') ? Math.max(lowest, MIN_MTU6) : lowest;
}

/** Returns the request for this node's leases. `previous` returns the subnet that this node had before. */
export function leaseRequest(
  netConf: NetConf,
  plans: readonly FamilyPlan[],
  previous: (family: Family) => Cidr | undefined,
): LeaseRequest {
  const families = plans.map(({ family, address, adopted }) => [
    family,
    {
      addresses: address.addresses,
      publicIp: address.publicIp,
      previous: previous(family),
      vtepMac: adopted?.mac,
    },
  ]);
  return { netConf, interface: plans[0]?.link.name ?? '', families: Object.fromEntries(families) };
}

/**
 * Returns the plan for a family whose underlay has changed. @throws UserError if the device cannot have the new MTU
 */
export function replan(plan: FamilyPlan, { link, address, local }: PresentUnderlay): FamilyPlan {
  return { ...plan, link, address, local, mtu: deviceMtu(plan.backend, plan.family, link) };
}

/** @throws UserError if a running Weft hands over other devices than `wanted` */
function refuseOtherDevices(handovers: Handovers, wanted: readonly TunDevice[]): void {
  const theirs = [...handovers.keys()].join(', ');
  const ours = wanted.map(({ name }) => name).join(', ');
  if (handovers.size > 0 && theirs !== ours) {
    throw new UserError(
      `--takeover: the running Weft has ${theirs}, and this configuration needs ${ours}; stop the running Weft and start this one instead`,
    );
  }
}

function refuseLearning({ workers }: RunOptions, { backend, origin }: NetConf): void {
  if (workers === 1 || backend.type !== 'vxlan' || !backend.learning) return;
  throw new UserError(
    `--workers ${workers}: a worker does not see what another one learns; use --workers 1 with Learning, or turn Learning off in ${origin}`,
  );
}

/** @throws UserError if something on this machine blocks the family's device */
function planDevice(
  options: RunOptions,
  netConf: NetConf,
  { link, links, families }: ChosenUnderlay,
  family: Family,
  { handovers, recorded }: Predecessors,
): Omit<FamilyPlan, 'podMtu'> {
  const backend = backendFor(netConf, family);
  const { network } = valueIn(netConf.networks, family);
  const adopted = options.adopt ? kernelVxlan(links, backend.device) : undefined;
  const wanted = tunDevice(options, netConf, family);
  const left = links.some((link) => isLeft(link, recorded) && suits(link, wanted));
  const origin = handovers.get(backend.device) ?? (left ? 'attach' : 'create');
  if (adopted === undefined && origin === 'create') refuseExisting(links, backend.device);
  refuseRival(links, backend.rivals, network);
  return {
    family,
    backend,
    network,
    link,
    address: valueIn(families, family),
    local: localAddresses(links),
    adopted,
    origin,
    mtu: deviceMtu(backend, family, link, `Backend.MTU in ${netConf.origin}`),
    peerCheck: options.peerCheck ?? backend.peerCheck,
  };
}

function backendFor({ backend: conf }: NetConf, family: Family): Backend {
  return conf.type === 'udp' ? udpBackend(conf) : vxlanBackend(conf, family);
}

/** Returns the tun device that a family needs. */
function tunDevice({ workers }: RunOptions, netConf: NetConf, family: Family): TunDevice {
  const { device, conf } = backendFor(netConf, family);
  return { name: device, type: conf.type === 'udp' ? 'tun' : 'tap', queues: workers };
}

/** Returns the MTU of the overlay device, in bytes. @throws UserError if IPv6 needs more */
function deviceMtu(
  { conf, device, overhead }: Backend,
  family: Family,
  link: Link,
  setting = 'Backend.MTU',
): number {
  const outerMtu = conf.outerMtu ?? link.mtu;
  const mtu = outerMtu - overhead;
  if (family === 'ipv6' && mtu < MIN_MTU6) {
    throw new UserError(
      `MTU ${outerMtu} of ${conf.outerMtu === undefined ? link.name : setting} leaves ${device} ${mtu}, and IPv6 needs ${MIN_MTU6}; set it to ${MIN_MTU6 + overhead} or more`,
    );
  }
  return mtu;
}

/**
 * Returns the address to which the tunnel's socket is bound: the public IP if this machine has it, on any interface; behind
 * a NAT the interface's address.
 */
export function boundAddress({ local, address }: FamilyPlan, { publicIp }: Pick<Lease, 'publicIp'>): Ip {
  return local.includes(publicIp) ? publicIp : address.address;
}

/** Returns the options of the firewall, from flags and net-conf. */
export function firewallOptions({ rules }: RunOptions, { nftables, networks }: NetConf): FirewallOptions {
  return { ...rules, mode: nftables ? 'nftables' : 'iptables', families: familiesIn(networks) };
}

/** Formats `192.168.77.1:8472` or `[fd00::1]:8472`. */
export function formatEndpoint(address: Ip, port: number): string {
  return typeof address === 'bigint' ? `[${formatIp(address)}]:${port}` : `${formatIp(address)}:${port}`;
}

/** Logs the plan with flannel's lines. */
export function logPlan({ netConf, underlay, families }: Plan): void {
  const { type, outerMtu } = netConf.backend;
  info(`Found network config - Backend type: ${type}`);
  logUnderlay(underlay);
  for (const { backend, mtu } of families) info(`${backend.summary} device ${backend.device} MTU ${mtu}`);
  for (const line of netConf.ignored) warn(`net-conf ${line}`);
  if (outerMtu !== undefined && outerMtu > underlay.link.mtu) {
    warn(
      `net-conf Backend.MTU ${outerMtu} exceeds MTU ${underlay.link.mtu} of ${underlay.link.name}: large packets will be fragmented`,
    );
  }
}
