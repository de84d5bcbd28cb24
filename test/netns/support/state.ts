/** The actual and the desired state of the system, in forms that compare as a whole. */

import { exec } from '../../../lab/exec.js';
import { ipJson } from '../../../lab/ip.js';
import type { Lease } from '../../../lab/leases.js';
import type { LabNode } from '../../../lab/node.js';
import { until } from '../../../lab/until.js';
import { ask } from '../../../src/control/ipc/client.js';
import type { Status } from '../../../src/control/node/status.js';

/** Returns what `weft status --json` prints, without starting a process. */
export async function statusOf(weft: { readonly runDir: string }): Promise<Status> {
  return (await ask(weft.runDir, { command: 'status' })) as Status;
}

export type Counters = Record<string, number>;

/** Returns the counters that changed, and by how much. */
export function risen(before: Counters, after: Counters): Counters {
  return Object.fromEntries(
    Object.entries(after)
      .map(([name, value]): [string, number] => [name, value - (before[name] ?? 0)])
      .filter(([, difference]) => difference !== 0),
  );
}

/** The state of the peers in a node's kernel and in its Weft process. */
export interface PeerState {
  /** Lines of `ip neigh show dev flannel.1`: `10.244.2.0 lladdr 02:00:00:00:00:02 PERMANENT`. */
  readonly neighbours: string[];
  /** Lines of `ip route` through the device, word for word. */
  readonly routes: string[];
  /** The peers of `weft status`: `10.244.2.0/24 192.168.77.2 02:00:00:00:00:02`, and the missing parts of each. */
  readonly peers: string[];
}

const DEVICE = 'flannel.1';

/** Returns the sorted lines of a command, without indentation and empty lines. */
function sortedLines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .sort();
}

export async function routesOf(node: LabNode, device = DEVICE): Promise<string[]> {
  const { stdout } = await node.exec(['ip', '-4', 'route', 'show']);
  return sortedLines(stdout).filter((line) => line.includes(` dev ${device}`));
}

export async function neighboursOf(node: LabNode, device = DEVICE): Promise<string[]> {
  const { stdout } = await node.exec(['ip', '-4', 'neigh', 'show', 'dev', device]);
  return sortedLines(stdout);
}

export async function peerState(node: LabNode, weft: { readonly runDir: string }): Promise<PeerState> {
  const { peers } = await statusOf(weft);
  return {
    neighbours: await neighboursOf(node),
    routes: await routesOf(node),
    peers: peers
      .map(({ subnet, publicIP, vtepMAC, neighbour, fdb, route }) =>
        [
          `${subnet} ${publicIP} ${vtepMAC}`,
          neighbour ? '' : ' without neighbour',
          fdb ? '' : ' without FDB entry',
          route ? '' : ' without route',
        ].join(''),
      )
      .sort(),
  };
}

/** Returns the desired state for these leases of peers, all with a MAC. */
export function stateFor(peers: readonly Lease[]): PeerState {
  const base = ({ Subnet }: Lease) => Subnet.slice(0, Subnet.indexOf('/'));
  const mac = ({ BackendData }: Lease) => BackendData?.VtepMAC ?? '';
  return {
    neighbours: peers.map((lease) => `${base(lease)} lladdr ${mac(lease)} PERMANENT`).sort(),
    routes: peers.map((lease) => `${lease.Subnet} via ${base(lease)} dev ${DEVICE} onlink`).sort(),
    peers: peers.map((lease) => `${lease.Subnet} ${lease.PublicIP} ${mac(lease)}`).sort(),
  };
}

/** Waits until a node has exactly the state for these peers; returns the last state either way. */
export async function settled(
  node: LabNode,
  weft: { readonly runDir: string },
  peers: readonly Lease[],
  timeoutMs = 10_000,
): Promise<PeerState> {
  const wanted = JSON.stringify(stateFor(peers));
  let last: PeerState | undefined;
  const reached = async () => {
    last = await peerState(node, weft);
    return JSON.stringify(last) === wanted;
  };
  await until('the desired state', reached, { timeoutMs }).catch(() => undefined);
  return last ?? (await peerState(node, weft));
}

/** Returns the peers of backend udp: `10.244.2.0/24 192.168.77.2`, and the missing parts of each. */
export async function udpPeers(weft: { readonly runDir: string }): Promise<string[]> {
  const { peers } = await statusOf(weft);
  return peers
    .map(({ subnet, publicIP, route }) => `${subnet} ${publicIP}${route ? '' : ' without route'}`)
    .sort();
}

/** Returns the desired peers of backend udp for these leases. */
export function udpPeersFor(peers: readonly Lease[]): string[] {
  return peers.map(({ Subnet, PublicIP }) => `${Subnet} ${PublicIP}`).sort();
}

/** Waits until backend udp has exactly these peers; returns the last state either way. */
export async function settledUdp(
  weft: { readonly runDir: string },
  peers: readonly Lease[],
  timeoutMs = 10_000,
): Promise<string[]> {
  const wanted = udpPeersFor(peers).join();
  const reached = async () => (await udpPeers(weft)).join() === wanted;
  await until('the desired peers', reached, { timeoutMs }).catch(() => undefined);
  return await udpPeers(weft);
}

/** Returns the number of frames that the device has delivered to the node's kernel. */
export async function deliveredBy(node: LabNode, device = DEVICE): Promise<number> {
  const [link] = await ipJson<{ stats64: { rx: { packets: number } } }[]>(
    node.netns,
    '-s',
    'link',
    'show',
    'dev',
    device,
  );
  return link.stats64.rx.packets;
}

interface LinkAndAddresses {
  readonly ifname: string;
  readonly address?: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly linkinfo?: { readonly info_kind?: string; readonly info_data?: { readonly type?: string } };
  readonly addr_info: readonly {
    readonly local: string;
    readonly prefixlen: number;
    readonly scope: string;
  }[];
}

/** Returns the device's kind, MAC, MTU and addresses. */
export async function deviceOf(node: LabNode, name = DEVICE) {
  const [link] = await ipJson<LinkAndAddresses[]>(node.netns, '-details', 'address', 'show', 'dev', name);
  if (link === undefined) throw new Error(`no ${name}`);
  return {
    kind: `${link.linkinfo?.info_kind} ${link.linkinfo?.info_data?.type}`,
    mac: link.address,
    mtu: link.mtu,
    up: link.flags.includes('UP'),
    addresses: link.addr_info.map(({ local, prefixlen, scope }) => `${local}/${prefixlen} ${scope}`),
  };
}

/** Returns everything of a node's network that a start could change, without what changes by itself. */
export async function networkOf(node: LabNode): Promise<string[]> {
  const links = await ipJson<LinkAndAddresses[]>(node.netns, '-details', 'address', 'show');
  const { stdout } = await node.exec([
    'sh',
    '-c',
    'ip route show table all; ip neigh show nud permanent; ss -Hlun',
  ]);
  return [
    ...links.map(({ ifname, address, mtu, flags, linkinfo, addr_info }) =>
      [
        ...[ifname, address, mtu, flags.includes('UP') ? 'up' : 'down', linkinfo?.info_kind],
        ...addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
      ].join(' '),
    ),
    ...sortedLines(stdout.replaceAll(' linkdown', '')),
  ];
}

/**
 * Returns the counters of a node's or pod's network stack: of /proc/net/snmp and netstat as `Udp.InCsumErrors`, and of
 * snmp6, if there is IPv6, as `Udp6InErrors`.
 */
export async function snmpOf({ netns }: { readonly netns: string }): Promise<Counters> {
  const files = 'cd /proc/net; cat snmp netstat; [ ! -e snmp6 ] || cat snmp6';
  const { stdout } = await exec(['sh', '-c', files], { netns });
  const counters: Counters = {};
  const all = stdout.trimEnd().split('\n');
  // snmp6 has a counter per line; snmp a line of names, then one of values, which both begin with the group.
  const lines = all.filter((line) => line.includes(':'));
  for (const line of all.filter((line) => !line.includes(':'))) {
    const [name = '', value] = line.split(/\s+/);
    counters[name] = Number(value);
  }
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const [group = '', ...names] = lines[i].split(/\s+/);
    const values = lines[i + 1].split(/\s+/).slice(1);
    names.forEach((name, index) => {
      counters[`${group}${name}`.replace(':', '.')] = Number(values[index]);
    });
  }
  return counters;
}
