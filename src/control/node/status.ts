/** What `weft status` shows, collected from the node, the dataplane and the system itself. */

import { readFile } from 'node:fs/promises';
import type { Dataplane } from '../../dataplane/dataplane.js';
import { formatCidr, formatHost } from '../addresses/cidr.js';
import { formatIp } from '../addresses/ip.js';
import { formatMac } from '../addresses/mac.js';
import type { PeerStatus } from '../backends/backend.js';
import type { BackendConf } from '../config/net-conf.js';
import { ipJson } from '../kernel/ip.js';
import type { Node } from './reconciler.js';

export interface Status extends StackStatus {
  version: string;
  pid: number;
  uptimeSeconds: number;
  /** With vxlan alone: a VNI, and below MACs. */
  backend: { type: string; vni?: number; port: number };
  /** `refused`: why the newest leases are not in force; `trouble`: why none can come. */
  leaseSource: { name: string; refused: string | null; trouble: string | null };
  workers: number;
  /** The same of IPv6 where IPv4 is above; absent in a cluster with one family. */
  ipv6?: StackStatus;
}

/** What there is of each family. */
export interface StackStatus {
  device: { name: string; mac?: string; mtu: number; address: string; up: boolean };
  underlay: { interface: string; publicIP: string; mtu: number };
  lease: { subnet: string; publicIP: string; vtepMAC?: string };
  offload: { rung: string; uso: boolean };
  peerCheck: string;
  peers: PeerStatus[];
  /** What was not as it should be and was put right, by kind, since the start. */
  repairs: Record<string, number>;
  learned: { mac: string; publicIP: string; ageSeconds: number }[] | null;
  counters: Record<string, number>;
}

export interface StackContext {
  node: Node;
  dataplane: Dataplane;
  counters: Record<string, number>;
  repairs: Record<string, number>;
  underlay: { interface: string; mtu: number };
  peerCheck: string;
}

export interface StatusContext {
  version: string;
  backend: BackendConf;
  workers: number;
  leaseSource: Status['leaseSource'];
  /** How often the firewall's rules, of both families, were put right. */
  ruleRepairs: number;
  /** One or two. */
  stacks: readonly StackContext[];
}

export async function collectStatus(context: StatusContext): Promise<Status> {
  const { version, backend, workers, leaseSource, ruleRepairs, stacks } = context;
  const [first, second] = await Promise.all(stacks.map(collectStack));
  const { device, underlay, lease, offload, peerCheck, peers, repairs, ...rest } = first as StackStatus;
  return {
    version,
    pid: process.pid,
    uptimeSeconds: Math.floor(process.uptime()),
    backend: {
      type: backend.type,
      ...(backend.type === 'vxlan' && { vni: backend.vni }),
      port: backend.port,
    },
    device,
    underlay,
    lease,
    leaseSource,
    offload,
    workers,
    peerCheck,
    peers,
    repairs: { ...repairs, ...(ruleRepairs > 0 && { rules: ruleRepairs }) },
    ...rest,
    ...(second && { ipv6: second }),
  };
}

async function collectStack(context: StackContext): Promise<StackStatus> {
  const { node, dataplane } = context;
  const { backend, mtu } = node.options;
  const { device } = backend;
  const { own } = node;
  const publicIP = formatIp(own.publicIp);
  const [links, peers, learned] = await Promise.all([
    ipJson<{ ifname: string; address?: string; mtu: number; flags: string[] }>('link', 'show'),
    node.overlay.status(node.peers),
    backend.learning ? dataplane.learned() : null,
  ]);
  const link = links.find(({ ifname }) => ifname === device);
  return {
    device: {
      name: device,
      ...(own.vtepMac !== undefined && { mac: link?.address ?? own.vtepMac }),
      mtu: link?.mtu ?? mtu,
      address: formatHost(own.subnet.base),
      up: link?.flags.includes('UP') ?? false,
    },
    underlay: { interface: context.underlay.interface, publicIP, mtu: context.underlay.mtu },
    lease: {
      subnet: formatCidr(own.subnet),
      publicIP,
      ...(own.vtepMac !== undefined && { vtepMAC: own.vtepMac }),
    },
    offload: dataplane.offload,
    peerCheck: context.peerCheck,
    peers,
    repairs: context.repairs,
    learned:
      learned?.map(({ mac, address, ageMs }) => ({
        mac: formatMac(mac),
        publicIP: formatIp(address >>> 0),
        ageSeconds: Math.round(ageMs / 1000),
      })) ?? null,
    counters: {
      ...context.counters,
      rx_drop_socket_overflow: dataplane.receiveOverflows(),
      tx_drop_device_overflow: await deviceOverflows(device),
    },
  };
}

/** Frames the kernel dropped because no thread had taken them from the device's queue in time. */
async function deviceOverflows(device: string): Promise<number> {
  const text = await readFile('/proc/net/dev', 'utf8');
  const line = text.split('\n').find((candidate) => candidate.trimStart().startsWith(`${device}:`));
  // Columns after the name: 8 of receive, then transmit bytes, packets, errs, drop (net/core/net-procfs.c).
  return Number(line?.split(':')[1]?.trim().split(/\s+/)[11] ?? 0);
}
