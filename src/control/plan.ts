/** All that is read and found good before anything is changed, on this node or in the cluster. */

import { probeSocket } from '../dataplane/dataplane.js';
import type { PeerCheck } from '../dataplane/tunnel/vxlan.js';
import { SystemError } from '../sys/system-error.js';
import type { Cidr } from './addresses/cidr.js';
import {
  FAMILIES,
  type Family,
  familiesIn,
  mapFamilies,
  type PerFamily,
  perFamily,
  valueIn,
} from './addresses/family.js';
import { formatIp, type Ip, toUnderlay } from './addresses/ip.js';
import type { Backend } from './backends/backend.js';
import { backendFor } from './backends/backends.js';
import type { NetConf } from './config/net-conf.js';
import { Firewall } from './firewall/firewall.js';
import type { FirewallOptions } from './firewall/rules.js';
import { kernelVxlan, refuseExisting, refuseRival } from './kernel/device.js';
import { type Link, localAddresses, readLinks, untilBindable } from './kernel/links.js';
import type { Lease } from './leases/lease.js';
import type { Cluster, LeaseRequest, LeaseSource } from './leases/source.js';
import type { RunOptions } from './options.js';
import { type PodSubnets, readSubnetEnv } from './subnet-env.js';
import { info, warn } from './support/log.js';
import { UserError } from './support/user-error.js';
import { chooseUnderlay, type FamilyAddress, logUnderlay, type Underlay } from './underlay/choose.js';

/** An IPv6 link carries packets of 1280 bytes (RFC 8200, 5); Linux has no IPv6 on a device with less. */
const MIN_MTU6 = 1280;

export interface Plan {
  netConf: NetConf;
  links: Link[];
  underlay: Underlay;
  /** One for each family, IPv4 first. */
  stacks: StackPlan[];
  request: LeaseRequest;
  /** What an earlier run has left in subnet.env. */
  previous: PerFamily<Partial<PodSubnets>>;
  /** What a pod may send in one packet, whichever device it goes through, in bytes. */
  podMtu: number;
}

/** What is planned for one family: it has a device, a tunnel and leases of its own. */
export interface StackPlan {
  family: Family;
  backend: Backend;
  /** The pod network of the cluster. */
  network: Cidr;
  /** The underlay interface, and this family's addresses on it. */
  link: Link;
  side: FamilyAddress;
  /** Every address of this machine. */
  local: readonly Ip[];
  /** A vxlan device of the kernel's that makes room, as flanneld leaves it. */
  adopted: Link | undefined;
  /** MTU of the device, in bytes. */
  mtu: number;
  /** That of the pods, which may be the lesser one of another family. */
  podMtu: number;
  peerCheck: PeerCheck;
}

/** @throws UserError with the first obstacle; nothing has been changed then */
export async function makePlan(options: RunOptions, cluster: Cluster): Promise<Plan> {
  const { netConf } = cluster;
  const families = familiesIn(netConf.networks);
  if (families.length === 0) {
    throw new UserError(
      `none defined stack: EnableIPv4 and EnableIPv6 are both false in ${netConf.origin}; set one of them to true`,
    );
  }
  refuseLearning(options, netConf);
  const links = await readLinks();
  const underlay = await chooseUnderlay(
    links,
    {
      ...options.underlay,
      publicIp: perFamily(
        FAMILIES,
        (family) => cluster.publicIps[family] ?? options.underlay.publicIp[family],
      ),
    },
    families,
  );
  const devices = families.map((family) => planDevice(options, netConf, links, underlay, family));
  const podMtu = Math.min(...devices.map(({ mtu }) => mtu));
  const stacks = devices.map((device) => ({ ...device, podMtu }));
  for (const stack of stacks) await untilBindable(links, boundAddress(stack, stack.side));
  const previous = await readSubnetEnv(options.subnetFile);
  return {
    netConf,
    links,
    underlay,
    stacks,
    request: {
      netConf,
      interface: underlay.link.name,
      families: mapFamilies(underlay.families, ({ addresses, publicIp }, family) => ({
        addresses,
        publicIp,
        previous: previous[family]?.subnet,
        vtepMac: stacks.find((stack) => stack.family === family)?.adopted?.mac,
      })),
    },
    previous,
    podMtu,
  };
}

function refuseLearning({ workers }: RunOptions, { backend, origin }: NetConf): void {
  if (workers === 1 || backend.type !== 'vxlan' || !backend.learning) return;
  throw new UserError(
    `--workers ${workers}: what one worker learns the others do not see; use --workers 1 with Learning, or turn Learning off in ${origin}`,
  );
}

/** @throws UserError when something on this machine is in the way of the family's device */
function planDevice(
  options: RunOptions,
  netConf: NetConf,
  links: readonly Link[],
  underlay: Underlay,
  family: Family,
): Omit<StackPlan, 'podMtu'> {
  const backend = backendFor(netConf.backend, family);
  const { link } = underlay;
  const { network } = valueIn(netConf.networks, family);
  const adopted = options.adopt ? kernelVxlan(links, backend.device) : undefined;
  if (adopted === undefined) refuseExisting(links, backend.device);
  refuseRival(links, backend.rivals, network);
  const outerMtu = backend.conf.outerMtu ?? link.mtu;
  const mtu = outerMtu - backend.overhead;
  if (family === 'ipv6' && mtu < MIN_MTU6) {
    throw new UserError(
      `MTU ${outerMtu} of ${backend.conf.outerMtu === undefined ? link.name : `Backend.MTU in ${netConf.origin}`} leaves ${backend.device} ${mtu}, and IPv6 needs ${MIN_MTU6}; it has to be ${MIN_MTU6 + backend.overhead} or more`,
    );
  }
  return {
    family,
    backend,
    network,
    link,
    side: valueIn(underlay.families, family),
    local: localAddresses(links),
    adopted,
    mtu,
    peerCheck: options.peerCheck ?? backend.peerCheck,
  };
}

/** The address the tunnel's socket is bound to: the public one, on whichever interface, unless a NAT has that. */
export function boundAddress({ local, side }: StackPlan, { publicIp }: Pick<Lease, 'publicIp'>): Ip {
  return local.includes(publicIp) ? publicIp : side.address;
}

/** What the firewall is to hold, by flags and net-conf. */
export function firewallOptions({ rules }: RunOptions, netConf: NetConf): FirewallOptions {
  const { ipMasq, forwardRules, fullyRandom, resyncSeconds } = rules;
  return {
    mode: netConf.nftables ? 'nftables' : 'iptables',
    families: familiesIn(netConf.networks),
    ...{ ipMasq, forwardRules, fullyRandom, resyncSeconds },
  };
}

/** @throws UserError when the tunnel's port is taken */
export function refuseTakenPort(
  stack: StackPlan,
  links: readonly Link[],
  own: Pick<Lease, 'publicIp'>,
): void {
  const address = boundAddress(stack, own);
  const { port } = stack.backend.conf;
  // The device that makes room has it.
  if (stack.adopted?.data.port === port) return;
  try {
    probeSocket(toUnderlay(address), port);
  } catch (error) {
    throw error instanceof SystemError ? explain(error, stack, links, address) : error;
  }
}

/**
 * Checks all that `runDaemon` would with this network configuration, and returns a line on what would run. Changes
 * nothing. @throws UserError with the first obstacle
 */
export async function rehearse(
  options: RunOptions,
  source: LeaseSource,
  cluster: Cluster,
  signal: AbortSignal,
): Promise<string> {
  const plan = await makePlan(options, cluster);
  await Firewall.open(firewallOptions(options, plan.netConf));
  const own = await source.preview(plan.request, signal);
  const found = plan.stacks.map((stack) => {
    const lease = valueIn(own, stack.family);
    refuseTakenPort(stack, plan.links, lease);
    const { backend, mtu, link } = stack;
    return `${backend.device} with MTU ${mtu} over ${link.name}, UDP ${endpoint(boundAddress(stack, lease), backend.conf.port)}`;
  });
  return `backend ${plan.netConf.backend.type}: ${found.join('; ')}`;
}

/** `192.168.77.1:8472`, `[fd00::1]:8472`. */
function endpoint(address: Ip, port: number): string {
  return typeof address === 'bigint' ? `[${formatIp(address)}]:${port}` : `${formatIp(address)}:${port}`;
}

/** What the plan is, as flannel logs it. */
export function announce({ netConf, underlay, stacks }: Plan): void {
  const { type, outerMtu } = netConf.backend;
  info(`Found network config - Backend type: ${type}`);
  logUnderlay(underlay);
  for (const { backend, mtu } of stacks) info(`${backend.summary} device ${backend.device} MTU ${mtu}`);
  for (const sentence of netConf.ignored) warn(`net-conf ${sentence}`);
  if (outerMtu !== undefined && outerMtu > underlay.link.mtu) {
    warn(
      `net-conf Backend.MTU ${outerMtu} is more than the ${underlay.link.mtu} of ${underlay.link.name}: large packets will be fragmented`,
    );
  }
}

/** An error of making device or socket (bound to `address`), for the person at the keyboard. */
export function explain(
  error: SystemError,
  { backend }: StackPlan,
  links: readonly Link[],
  address: Ip,
): UserError {
  const { port } = backend.conf;
  if (error.syscall === 'bind' && error.code === 'EADDRINUSE') {
    const vxlan = links.find(({ kind, data }) => kind === 'vxlan' && data.port === port);
    return new UserError(
      vxlan === undefined
        ? `UDP port ${port} of ${formatIp(address)} is taken by another process; find and stop it (ss -lunp "sport = :${port}"), or change Backend.Port on every node`
        : `UDP port ${port} of ${formatIp(address)} is taken by the kernel vxlan device ${vxlan.name}; remove it (ip link delete ${vxlan.name}), or change Backend.Port on every node`,
    );
  }
  if (error.syscall === 'bind')
    return new UserError(
      `UDP ${endpoint(address, port)} cannot be bound (${error.code}); is the address still on the interface?`,
    );
  return new UserError(`${backend.device} cannot be made: ${error.message}`);
}
