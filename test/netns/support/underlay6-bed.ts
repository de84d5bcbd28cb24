/**
 * A lab whose nodes reach each other over IPv6, and dataplanes on it that get their peers without leases. Their device
 * has the name of the IPv4 one, so that the lab's functions work with it.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Test } from 'tap';
import { type Dataplane, DEVICE, deviceLines, programPeers } from '../../../lab/dataplanes/dataplane.js';
import { startKernel } from '../../../lab/dataplanes/kernel.js';
import { ipBatch } from '../../../lab/ip.js';
import type { Lab, LabOptions } from '../../../lab/lab.js';
import type { VxlanLease } from '../../../lab/leases.js';
import type { LabNode } from '../../../lab/node.js';
import { DIST } from '../../../lab/world.js';
import type { Ipv6Address } from '../../../src/dataplane/dataplane.js';
import { makeBed, type USERSPACE_LEVELS } from './bed.js';
import type { Counters } from './state.js';

/** IPv6, UDP, VXLAN and the inner Ethernet header. */
const OVERHEAD = 70;

/** A second address of node 2, without a peer. */
export const UNKNOWN_SOURCE = 'fd00:77::22';

export function underlayAddress({ index }: LabNode): string {
  return `fd00:77::${index}`;
}

function wordsOf({ index }: LabNode): Ipv6Address {
  return [0xfd000077 | 0, 0, 0, index];
}

/** Builds two nodes with an IPv6 address each on the underlay. */
export async function makeUnderlay6Bed(
  t: Test,
  options: LabOptions & { readonly name: string },
): Promise<Lab> {
  const lab = await makeBed(t, { ...options, overhead: OVERHEAD, ipv6: true });
  for (const node of lab.nodes)
    await ipBatch(node.netns, [`address add ${underlayAddress(node)}/64 dev ${node.iface} nodad`]);
  await ipBatch(lab.node(2).netns, [`address add ${UNKNOWN_SOURCE}/64 dev ${lab.node(2).iface} nodad`]);
  return lab;
}

/** The setting of peer/dataplane.ts. */
export interface DataplaneSetting {
  readonly device: string;
  readonly address: Ipv6Address;
  readonly level: (typeof USERSPACE_LEVELS)[number];
  readonly mtu: number;
  readonly vtepMac: string;
  readonly peers: readonly { readonly vtepMac: string; readonly address: Ipv6Address }[];
}

export class RunningDataplane {
  readonly node: LabNode;
  private readonly child: ChildProcess;

  private constructor(node: LabNode, child: ChildProcess) {
    this.node = node;
    this.child = child;
  }

  /** Starts a dataplane on a node of such a lab; the end of the test stops it. */
  static async start(
    t: Test,
    lab: Lab,
    node: LabNode,
    level: DataplaneSetting['level'],
  ): Promise<RunningDataplane> {
    const others = lab.nodes.filter((other) => other !== node);
    const setting: DataplaneSetting = {
      device: DEVICE,
      address: wordsOf(node),
      level,
      mtu: node.podMtu,
      vtepMac: node.vtepMac,
      peers: others.map((other) => ({ vtepMac: other.vtepMac, address: wordsOf(other) })),
    };
    // `ip netns exec` instead of node: it passes the IPC descriptor on.
    const child = fork(`${DIST}test/netns/peer/dataplane.js`, [JSON.stringify(setting)], {
      execPath: 'ip',
      execArgv: ['netns', 'exec', node.netns, process.execPath],
    });
    const running = new RunningDataplane(node, child);
    t.teardown(() => running.stop());
    const [first] = (await once(child, 'message')) as [unknown];
    if (first !== 'ready') throw new Error(`the dataplane on ${node.name} did not start`);
    await ipBatch(node.netns, [
      `link set ${DEVICE} address ${node.vtepMac} mtu ${node.podMtu}`,
      ...deviceLines(node),
    ]);
    await programPeers(node, node.peers(), { fdb: false });
    return running;
  }

  /** Returns all counters except multicast, which the node's own IPv6 sends at any time. */
  async counters(): Promise<Counters> {
    const answer = once(this.child, 'message') as Promise<[Counters]>;
    this.child.send('counters');
    const [{ tx_drop_multicast, ...counters }] = await answer;
    return counters;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.disconnect();
    await exited;
  }
}

/** Starts the kernel's vxlan on a node of such a lab. */
export function startKernel6(node: LabNode): Promise<Dataplane> {
  const peers = node.peers().map((lease): VxlanLease => {
    const index = lease.PublicIP.slice(lease.PublicIP.lastIndexOf('.') + 1);
    return { ...lease, PublicIP: `fd00:77::${index}` };
  });
  return startKernel(node, { local: underlayAddress(node), peers });
}
