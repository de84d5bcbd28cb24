/**
 * The links between the nodes.
 *
 *     two nodes:   node1: ua 192.168.77.1/24 ── veth ── ub 192.168.77.2/24 :node2
 *
 *     more:        node1: eth0 192.168.77.1/24 ── veth ─┐
 *                  node2: eth0 192.168.77.2/24 ── veth ─┤ bridge br0 in the namespace 'underlay'
 *                  node3: eth0 192.168.77.3/24 ── veth ─┘
 */

import { CommandError, exec } from './exec.js';
import { ipBatch } from './ip.js';

/** 'virt': veth with its default offloads. 'plain': GRO alone, like a physical NIC without offloads. */
export type VethMode = 'virt' | 'plain';

/** The settings of `ethtool -K` in mode plain. */
const PLAIN: readonly (readonly [feature: string, value: string])[] = [
  ['tso', 'off'],
  ['gso', 'off'],
  ['tx', 'off'],
  ['tx-udp-segmentation', 'off'],
  ['tx-udp_tnl-segmentation', 'off'],
  ['tx-udp_tnl-csum-segmentation', 'off'],
  ['gro', 'on'],
];

/** A node's end of the underlay. */
export interface Port {
  readonly netns: string;
  readonly iface: string;
  /** Address with prefix length. */
  readonly address: string;
}

/** Joins two namespaces by one veth pair. */
export async function joinByPair(a: Port, b: Port, mtu: number, mode: VethMode): Promise<void> {
  await ipBatch(a.netns, [
    `link add ${a.iface} mtu ${mtu} type veth peer name ${b.iface} mtu ${mtu} netns ${b.netns}`,
  ]);
  for (const port of [a, b]) {
    await setMode(port.netns, port.iface, mode);
    await raise(port);
  }
}

/** Joins any number of namespaces by a bridge in `hub`, an existing namespace. */
export async function joinByBridge(
  hub: string,
  ports: readonly Port[],
  mtu: number,
  mode: VethMode,
): Promise<void> {
  await ipBatch(hub, [
    `link add br0 mtu ${mtu} type bridge`,
    ...ports.map(
      (port, index) =>
        `link add p${index + 1} mtu ${mtu} type veth peer name ${port.iface} mtu ${mtu} netns ${port.netns}`,
    ),
    ...ports.flatMap((_, index) => [`link set p${index + 1} master br0`, `link set p${index + 1} up`]),
    'link set br0 up',
  ]);
  await Promise.all(
    ports.map(async (port, index) => {
      await setMode(hub, `p${index + 1}`, mode);
      await setMode(port.netns, port.iface, mode);
      await raise(port);
    }),
  );
}

async function raise(port: Port): Promise<void> {
  await ipBatch(port.netns, [`address add ${port.address} dev ${port.iface}`, `link set ${port.iface} up`]);
}

async function setMode(netns: string, iface: string, mode: VethMode): Promise<void> {
  if (mode === 'virt') return;
  try {
    await exec(['ethtool', '-K', iface, ...PLAIN.flat()], { netns });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    // One unknown name fails the whole command: then each feature is set alone, and unknown ones are left out.
    for (const [feature, value] of PLAIN) {
      await exec(['ethtool', '-K', iface, feature, value], { netns }).catch((single: unknown) => {
        if (!(single instanceof CommandError)) throw single;
        if (feature === 'tso' || feature === 'gso' || feature === 'tx' || feature === 'gro') throw single;
      });
    }
  }
}
