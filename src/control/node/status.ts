/** What `weft status` shows, collected from the node, the dataplane and the system itself. */

import { readFile } from 'node:fs/promises';
import type { Dataplane } from '../../dataplane/dataplane.js';
import { formatCidr, formatIpv4 } from '../ipv4.js';
import { formatMac } from '../mac.js';
import { ipJson } from '../network/ip.js';
import type { Node } from './node.js';

export interface PeerStatus {
  subnet: string;
  publicIP: string;
  vtepMAC: string;
  /** Whether the system has the object as it should be, now. */
  neighbour: boolean;
  fdb: boolean;
  route: boolean;
}

export interface Status {
  version: string;
  pid: number;
  uptimeSeconds: number;
  backend: { type: string; vni: number; port: number };
  device: { name: string; mac: string; mtu: number; address: string; up: boolean };
  underlay: { interface: string; publicIP: string; mtu: number };
  lease: { subnet: string; publicIP: string; vtepMAC: string };
  leaseSource: { name: string; refused: string | null };
  offload: { rung: string; uso: boolean };
  workers: number;
  peerCheck: string;
  peers: PeerStatus[];
  learned: { mac: string; publicIP: string; ageSeconds: number }[] | null;
  counters: Record<string, number>;
}

export interface StatusContext {
  version: string;
  node: Node;
  dataplane: Dataplane;
  underlay: { interface: string; mtu: number };
  workers: number;
  peerCheck: string;
  /** Why the newest leases were refused; null while they are in force. */
  refused: string | null;
}

export async function collectStatus(context: StatusContext): Promise<Status> {
  const { node, dataplane } = context;
  const { device, netConf, mtu } = node.options;
  const { own } = node;
  const publicIP = formatIpv4(own.publicIp);
  const [links, peers, learned] = await Promise.all([
    ipJson<{ address: string; mtu: number; flags: string[] }>('link', 'show', 'dev', device),
    peerStatus(node),
    netConf.backend.learning ? dataplane.learned() : null,
  ]);
  const [link] = links;
  return {
    version: context.version,
    pid: process.pid,
    uptimeSeconds: Math.floor(process.uptime()),
    backend: { type: netConf.backend.type, vni: netConf.backend.vni, port: netConf.backend.port },
    device: {
      name: device,
      mac: link?.address ?? own.vtepMac,
      mtu: link?.mtu ?? mtu,
      address: `${formatIpv4(own.subnet.base)}/32`,
      up: link?.flags.includes('UP') ?? false,
    },
    underlay: { interface: context.underlay.interface, publicIP, mtu: context.underlay.mtu },
    lease: { subnet: formatCidr(own.subnet), publicIP, vtepMAC: own.vtepMac },
    leaseSource: { name: node.options.source, refused: context.refused },
    offload: dataplane.offload,
    workers: context.workers,
    peerCheck: context.peerCheck,
    peers,
    learned:
      learned?.map(({ mac, address, ageMs }) => ({
        mac: formatMac(mac),
        publicIP: formatIpv4(address >>> 0),
        ageSeconds: Math.round(ageMs / 1000),
      })) ?? null,
    counters: {
      ...dataplane.counters(),
      rx_drop_socket_overflow: dataplane.receiveOverflows(),
      tx_drop_device_overflow: await deviceOverflows(device),
    },
  };
}

/** Each peer against what the kernel and the dataplane have, read afresh. */
async function peerStatus(node: Node): Promise<PeerStatus[]> {
  const { device } = node.options;
  const [neighbours, routes] = await Promise.all([
    ipJson<{ dst: string; lladdr?: string; state?: string[] }>('neighbour', 'show', 'dev', device),
    ipJson<{ dst: string; gateway?: string }>('-4', 'route', 'show', 'dev', device),
  ]);
  const macs = new Map(
    neighbours.filter(({ state }) => state?.includes('PERMANENT')).map(({ dst, lladdr }) => [dst, lladdr]),
  );
  const gateways = new Map(routes.map(({ dst, gateway }) => [dst, gateway]));
  return node.peers.map(({ subnet, publicIp, vtepMac }) => {
    const base = formatIpv4(subnet.base);
    return {
      subnet: formatCidr(subnet),
      publicIP: formatIpv4(publicIp),
      vtepMAC: vtepMac,
      neighbour: macs.get(base) === vtepMac,
      fdb: node.reconciler.applied.fdb.get(vtepMac) === publicIp,
      route: gateways.get(formatCidr(subnet)) === base,
    };
  });
}

/** Frames the kernel dropped because no thread had taken them from the device's queue in time. */
async function deviceOverflows(device: string): Promise<number> {
  const text = await readFile('/proc/net/dev', 'utf8');
  const line = text.split('\n').find((candidate) => candidate.trimStart().startsWith(`${device}:`));
  // Columns after the name: 8 of receive, then transmit bytes, packets, errs, drop (net/core/net-procfs.c).
  return Number(line?.split(':')[1]?.trim().split(/\s+/)[11] ?? 0);
}
