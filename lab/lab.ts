/**
 * The test bed: nodes as network namespaces, joined by an underlay, in the private world of scripts/world.mjs.
 *
 *     ┌ node1 ─────────────────────────┐                        ┌ node2 ─────────────────────────┐
 *     │ pod1 ─┐                        │                        │                        ┌─ pod1 │
 *     │       ├ cni0 10.244.1.1/24     │   192.168.77.0/24      │    10.244.2.1/24 cni0 ─┤       │
 *     │ pod2 ─┘  ⇅ route               │                        │               route ⇅  └─ pod2 │
 *     │         flannel.1 ⇄ dataplane ⇄ ua ─────── veth ─────── ub ⇄ dataplane ⇄ flannel.1         │
 *     └────────────────────────────────┘   (bridge from 3 on)   └────────────────────────────────┘
 *
 *     const lab = await Lab.create({ nodes: 2 });
 *     try { await startWeft(lab.node(1)); … } finally { await lab.dispose(); }
 */

import { mkdir, rm } from 'node:fs/promises';
import { exec } from './exec.js';
import type { VxlanLease } from './leases.js';
import { LabNode, makeNetns, type Owned, type Pod } from './node.js';
import { joinByBridge, joinByPair, type VethMode } from './underlay.js';
import { requireWorld, SCRATCH } from './world.js';

export interface LabOptions {
  /** Prefix of all names; labs that exist at the same time need different ones. */
  readonly name?: string;
  readonly nodes?: number;
  readonly podsPerNode?: number;
  readonly mode?: VethMode;
  /** MTU of the underlay. */
  readonly mtu?: number;
  /** Bytes of the tunnel's headers, by which the pods' MTU is less: 50 with vxlan (the default), 28 with udp. */
  readonly overhead?: number;
  /** Keeps IPv6 on in all namespaces. Off by default: then only the test's own packets cross flannel.1. */
  readonly ipv6?: boolean;
}

export class Lab {
  readonly name: string;
  /** Scratch directory of this lab, which dispose removes. */
  readonly dir: string;
  readonly mode: VethMode;
  readonly nodes: LabNode[] = [];
  private readonly owned: Owned[] = [];
  private hub: string | undefined;

  private constructor(options: LabOptions) {
    this.name = options.name ?? 'lab';
    this.dir = `${SCRATCH}/${this.name}`;
    this.mode = options.mode ?? 'virt';
  }

  /** Builds the test bed; if that fails half-way, removes what was built. */
  static async create(options: LabOptions = {}): Promise<Lab> {
    requireWorld();
    const lab = new Lab(options);
    try {
      await lab.build(options);
      return lab;
    } catch (error) {
      await lab.dispose();
      throw error;
    }
  }

  private async build(options: LabOptions): Promise<void> {
    const count = options.nodes ?? 2;
    const mtu = options.mtu ?? 1500;
    if (count < 1 || count > 250) throw new RangeError(`a lab has 1 to 250 nodes, not ${count}`);
    await mkdir(this.dir, { recursive: true });
    for (let index = 1; index <= count; index++) {
      const node = new LabNode(index, {
        lab: this.name,
        dir: this.dir,
        iface: count === 2 ? (index === 1 ? 'ua' : 'ub') : 'eth0',
        podMtu: mtu - (options.overhead ?? 50),
        ipv6: options.ipv6 ?? false,
        own: (thing) => this.owned.push(thing),
        leases: () => this.leases(),
      });
      this.nodes.push(node);
      await mkdir(node.dir, { recursive: true });
    }
    await Promise.all(
      this.nodes.map(async (node) => {
        await node.build();
        for (let pod = 1; pod <= (options.podsPerNode ?? 1); pod++) await node.addPod();
      }),
    );
    const ports = this.nodes.map((node) => ({
      netns: node.netns,
      iface: node.iface,
      address: `${node.address}/24`,
    }));
    const [a, b] = ports;
    if (ports.length === 2 && a !== undefined && b !== undefined) await joinByPair(a, b, mtu, this.mode);
    else {
      this.hub = `${this.name}-underlay`;
      await makeNetns(this.hub, false);
      await joinByBridge(this.hub, ports, mtu, this.mode);
    }
  }

  /** Returns a node by its number, from 1. */
  node(index: number): LabNode {
    const node = this.nodes[index - 1];
    if (node === undefined) throw new RangeError(`this lab has ${this.nodes.length} nodes, no node ${index}`);
    return node;
  }

  /** Returns a pod by its node's number and its own, both from 1. */
  pod(node: number, pod = 1): Pod {
    const found = this.node(node).pods[pod - 1];
    if (found === undefined) throw new RangeError(`node ${node} has ${this.node(node).pods.length} pods`);
    return found;
  }

  /** Returns the leases of all nodes. */
  leases(): VxlanLease[] {
    return this.nodes.map((node) => node.lease());
  }

  /** Stops everything that runs, last started first, then removes namespaces and files. */
  async dispose(): Promise<void> {
    const failures: unknown[] = [];
    for (const thing of this.owned.splice(0).reverse()) {
      await thing.stop().catch((error: unknown) => failures.push(error));
    }
    const names = this.nodes.flatMap((node) => [...node.pods.map((pod) => pod.netns), node.netns]);
    if (this.hub !== undefined) names.push(this.hub);
    const lines = names.map((name) => `netns delete ${name}`);
    // -force continues after a line that fails: a half-built lab has only some of the namespaces.
    await exec(['ip', '-force', '-batch', '-'], { input: `${lines.join('\n')}\n` }).catch(() => undefined);
    await rm(this.dir, { recursive: true, force: true });
    if (failures.length > 0) throw failures[0];
  }
}
