/** What `weft status` shows, collected from the node, the dataplane and the system itself. */

import { readFile } from 'node:fs/promises';
import type { Dataplane } from '../../dataplane/dataplane.js';
import type { PeerStatus } from '../backends/backend.js';
import { formatCidr, formatIpv4 } from '../ipv4.js';
import { formatMac } from '../mac.js';
import { ipJson } from '../network/ip.js';
import type { Node } from './node.js';

export interface Status {
  version: string;
  pid: number;
  uptimeSeconds: number;
  /** Here and below: a VNI and MACs with vxlan alone. */
  backend: { type: string; vni?: number; port: number };
  device: { name: string; mac?: string; mtu: number; address: string; up: boolean };
  underlay: { interface: string; publicIP: string; mtu: number };
  lease: { subnet: string; publicIP: string; vtepMAC?: string };
  /** `refused`: why the newest leases are not in force; `trouble`: why none can come. */
  leaseSource: { name: string; refused: string | null; trouble: string | null };
  offload: { rung: string; uso: boolean };
  workers: number;
  peerCheck: string;
  peers: PeerStatus[];
  /** What was not as it should be and was put right, by kind, since the start. */
  repairs: Record<string, number>;
  learned: { mac: string; publicIP: string; ageSeconds: number }[] | null;
  counters: Record<string, number>;
}

export interface StatusContext {
  version: string;
  node: Node;
  dataplane: Dataplane;
  counters: Record<string, number>;
  repairs: Record<string, number>;
  underlay: { interface: string; mtu: number };
  workers: number;
  peerCheck: string;
  leaseSource: Status['leaseSource'];
}

export async function collectStatus(context: StatusContext): Promise<Status> {
  const { node, dataplane } = context;
  const { backend, mtu } = node.options;
  const { device } = backend;
  const { conf } = backend;
  const { own } = node;
  const publicIP = formatIpv4(own.publicIp);
  const [links, peers, learned] = await Promise.all([
    ipJson<{ ifname: string; address?: string; mtu: number; flags: string[] }>('link', 'show'),
    node.overlay.status(node.peers),
    backend.learning ? dataplane.learned() : null,
  ]);
  const link = links.find(({ ifname }) => ifname === device);
  return {
    version: context.version,
    pid: process.pid,
    uptimeSeconds: Math.floor(process.uptime()),
    backend: { type: conf.type, ...(conf.type === 'vxlan' && { vni: conf.vni }), port: conf.port },
    device: {
      name: device,
      ...(own.vtepMac !== undefined && { mac: link?.address ?? own.vtepMac }),
      mtu: link?.mtu ?? mtu,
      address: `${formatIpv4(own.subnet.base)}/32`,
      up: link?.flags.includes('UP') ?? false,
    },
    underlay: { interface: context.underlay.interface, publicIP, mtu: context.underlay.mtu },
    lease: {
      subnet: formatCidr(own.subnet),
      publicIP,
      ...(own.vtepMac !== undefined && { vtepMAC: own.vtepMac }),
    },
    leaseSource: context.leaseSource,
    offload: dataplane.offload,
    workers: context.workers,
    peerCheck: context.peerCheck,
    peers,
    repairs: context.repairs,
    learned:
      learned?.map(({ mac, address, ageMs }) => ({
        mac: formatMac(mac),
        publicIP: formatIpv4(address >>> 0),
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
