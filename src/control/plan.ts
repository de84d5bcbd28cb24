/** All that is read and found good before anything is changed, on this node or in the cluster. */

import { probeSocket } from '../dataplane/dataplane.js';
import { SystemError } from '../dataplane/sys/system-error.js';
import type { PeerCheck } from '../dataplane/tunnel/vxlan.js';
import type { Backend } from './backends/backend.js';
import { backendFor } from './backends/backends.js';
import type { NetConf } from './config/net-conf.js';
import { formatIpv4, type Ipv4 } from './ipv4.js';
import type { Lease } from './leases/lease.js';
import type { Cluster, LeaseRequest, LeaseSource } from './leases/source.js';
import { info, warn } from './log.js';
import { kernelVxlan, refuseExisting, refuseRival } from './network/device.js';
import { type Link, readLinks } from './network/links.js';
import { announceUnderlay, chooseUnderlay, type Underlay } from './network/underlay.js';
import type { RunOptions } from './options.js';
import { Firewall } from './rules/firewall.js';
import type { FirewallOptions } from './rules/wanted.js';
import { readSubnetEnv, type SubnetEnv } from './subnet-env.js';
import { UserError } from './user-error.js';

export interface Plan {
  netConf: NetConf;
  backend: Backend;
  links: Link[];
  underlay: Underlay;
  request: LeaseRequest;
  /** What an earlier run has left in subnet.env. */
  previous: Partial<Pick<SubnetEnv, 'network' | 'subnet'>>;
  /** A vxlan device of the kernel's that makes room, as flanneld leaves it. */
  adopted: Link | undefined;
  mtu: number;
  peerCheck: PeerCheck;
}

/** @throws UserError with the first obstacle; nothing has been changed then */
export async function makePlan(options: RunOptions, cluster: Cluster): Promise<Plan> {
  const { netConf } = cluster;
  const backend = backendFor(netConf.backend);
  const { conf, device } = backend;
  if (backend.learning && options.workers > 1) {
    throw new UserError(
      `--workers ${options.workers}: what one worker learns the others do not see; use --workers 1 with Learning, or turn Learning off in ${netConf.origin}`,
    );
  }
  const links = await readLinks();
  const underlay = await chooseUnderlay(links, {
    ...options.underlay,
    publicIp: cluster.nodePublicIp ?? options.underlay.publicIp,
    publicIpv6: cluster.nodePublicIpv6 ?? options.underlay.publicIpv6,
  });
  const adopted = options.adopt ? kernelVxlan(links, device) : undefined;
  if (adopted === undefined) refuseExisting(links, device);
  refuseRival(links, backend.rivals, netConf.network);
  const previous = await readSubnetEnv(options.subnetFile);
  return {
    netConf,
    backend,
    links,
    underlay,
    request: {
      netConf,
      interface: underlay.link.name,
      addresses: underlay.addresses,
      publicIp: underlay.publicIp,
      previous: previous.subnet,
      vtepMac: adopted?.mac,
    },
    previous,
    adopted,
    mtu: (conf.outerMtu ?? underlay.link.mtu) - backend.overhead,
    peerCheck: options.peerCheck ?? backend.peerCheck,
  };
}

/** The address the tunnel's socket is bound to: the public one, unless a NAT has that. */
export function boundAddress({ underlay }: Plan, { publicIp }: Pick<Lease, 'publicIp'>): Ipv4 {
  const { addresses } = underlay.link;
  return addresses.includes(publicIp) ? publicIp : underlay.address;
}

/** What the firewall is to hold, by flags and net-conf. */
export function firewallOptions({ rules }: RunOptions, { nftables }: NetConf): FirewallOptions {
  const { ipMasq, forwardRules, fullyRandom, resyncSeconds } = rules;
  return {
    mode: nftables ? 'nftables' : 'iptables',
    families: ['ipv4'],
    ...{ ipMasq, forwardRules, fullyRandom, resyncSeconds },
  };
}

/** @throws UserError when the tunnel's port is taken */
export function refuseTakenPort(plan: Plan, own: Pick<Lease, 'publicIp'>): void {
  const address = boundAddress(plan, own);
  // The device that makes room has it.
  if (plan.adopted?.data.port === plan.backend.conf.port) return;
  try {
    probeSocket(address | 0, plan.backend.conf.port);
  } catch (error) {
    throw error instanceof SystemError ? explain(error, plan, address) : error;
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
  refuseTakenPort(plan, own);
  const { conf, device } = plan.backend;
  const address = `${formatIpv4(boundAddress(plan, own))}:${conf.port}`;
  return `backend ${conf.type}: ${device} with MTU ${plan.mtu} over ${plan.underlay.link.name}, UDP ${address}`;
}

/** What the plan is, as flannel logs it. */
export function announce({ netConf, backend, underlay, mtu }: Plan): void {
  const { type, outerMtu } = backend.conf;
  info(`Found network config - Backend type: ${type}`);
  announceUnderlay(underlay);
  info(`${backend.summary} device ${backend.device} MTU ${mtu}`);
  for (const sentence of netConf.ignored) warn(`net-conf ${sentence}`);
  if (outerMtu !== undefined && outerMtu > underlay.link.mtu) {
    warn(
      `net-conf Backend.MTU ${outerMtu} is more than the ${underlay.link.mtu} of ${underlay.link.name}: large packets will be fragmented`,
    );
  }
}

/** An error of making device or socket (bound to `address`), for the person at the keyboard. */
export function explain(error: SystemError, { backend, links }: Plan, address: Ipv4): UserError {
  const { port } = backend.conf;
  const text = formatIpv4(address);
  if (error.syscall === 'bind' && error.code === 'EADDRINUSE') {
    const vxlan = links.find(({ kind, data }) => kind === 'vxlan' && data.port === port);
    return new UserError(
      vxlan === undefined
        ? `UDP port ${port} of ${text} is taken by another process; find and stop it (ss -lunp "sport = :${port}"), or change Backend.Port on every node`
        : `UDP port ${port} of ${text} is taken by the kernel vxlan device ${vxlan.name}; remove it (ip link delete ${vxlan.name}), or change Backend.Port on every node`,
    );
  }
  if (error.syscall === 'bind')
    return new UserError(
      `UDP ${text}:${port} cannot be bound (${error.code}); is the address still on the interface?`,
    );
  return new UserError(`${backend.device} cannot be made: ${error.message}`);
}
