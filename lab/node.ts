/**
 * One node: a network namespace with an underlay interface, the pod bridge, and pods behind it.
 *
 *     ┌ pod 1 ──────────────┐   ┌ node i ─────────────────────────────────────────────┐
 *     │ eth0 10.244.i.11/24 ├───┤ cni0 10.244.i.1/24 ── route ── flannel.1 ── eth0/ua ├── underlay
 *     └─────────────────────┘   └─────────────────────────────────────────────────────┘
 *                                a dataplane (lab/dataplanes/) creates flannel.1
 */

import { type ExecOptions, exec, type Output } from './exec.js';
import { ipBatch, sysctl } from './ip.js';
import type { VxlanLease } from './leases.js';
import { LabProcess, type StartOptions } from './process.js';

/** Something that the lab stops: a process or a dataplane. */
export interface Owned {
  stop(): Promise<unknown>;
}

/** A pod: a namespace with one interface, eth0. */
export interface Pod {
  readonly name: string;
  readonly netns: string;
  readonly address: string;
}

/** The settings that all nodes of a lab share. */
export interface NodeSettings {
  /** Prefix of the namespaces' names. */
  readonly lab: string;
  /** Directory for the lab's files. */
  readonly dir: string;
  /** Name of the underlay interface. */
  readonly iface: string;
  readonly podMtu: number;
  readonly ipv6: boolean;
  /** Registers something that dispose stops. */
  readonly own: (thing: Owned) => void;
  /** Returns the leases of all nodes of the lab. */
  readonly leases: () => VxlanLease[];
}

export class LabNode {
  /** The node's number: 1, 2, 3 … */
  readonly index: number;
  readonly name: string;
  readonly netns: string;
  /** The underlay interface. */
  readonly iface: string;
  /** The underlay address, 192.168.77.<index>: the lease's PublicIP. */
  readonly address: string;
  /** The pod subnet, 10.244.<index>.0/24. */
  readonly subnet: string;
  /** Its base address, which flannel.1 carries as /32. */
  readonly subnetBase: string;
  /** The lease's MAC of flannel.1: 02:00:00:00:00:<index>. */
  readonly vtepMac: string;
  /** Directory for this node's files; it exists. */
  readonly dir: string;
  readonly podMtu: number;
  readonly pods: Pod[] = [];
  private readonly settings: NodeSettings;

  constructor(index: number, settings: NodeSettings) {
    this.index = index;
    this.name = `node${index}`;
    this.netns = `${settings.lab}-${this.name}`;
    this.iface = settings.iface;
    this.address = `192.168.77.${index}`;
    this.subnetBase = `10.244.${index}.0`;
    this.subnet = `${this.subnetBase}/24`;
    this.vtepMac = `02:00:00:00:00:${index.toString(16).padStart(2, '0')}`;
    this.dir = `${settings.dir}/${this.name}`;
    this.podMtu = settings.podMtu;
    this.settings = settings;
  }

  /** Returns this node's complete lease, as a kernel peer publishes it. */
  lease(): VxlanLease {
    return {
      Subnet: this.subnet,
      PublicIP: this.address,
      BackendType: 'vxlan',
      BackendData: { VNI: 1, VtepMAC: this.vtepMac },
    };
  }

  /** Returns the leases of the lab's other nodes. */
  peers(): VxlanLease[] {
    return this.settings.leases().filter((lease) => lease.PublicIP !== this.address);
  }

  /** Runs a command in the node to its end. */
  exec(argv: readonly string[], options: Omit<ExecOptions, 'netns'> = {}): Promise<Output> {
    return exec(argv, { ...options, netns: this.netns });
  }

  /** Starts a process in the node; dispose stops it. */
  start(argv: readonly string[], options: Omit<StartOptions, 'netns'> = {}): LabProcess {
    return this.own(new LabProcess(argv, { ...options, netns: this.netns }));
  }

  /** Starts a process in one of the node's pods. */
  startInPod(pod: Pod, argv: readonly string[], options: Omit<StartOptions, 'netns'> = {}): LabProcess {
    return this.own(new LabProcess(argv, { ...options, netns: pod.netns }));
  }

  /** Registers something that dispose stops, and returns it. */
  own<T extends Owned>(thing: T): T {
    this.settings.own(thing);
    return thing;
  }

  /** Creates the namespace and its pod bridge; Lab.create calls it. */
  async build(): Promise<void> {
    await makeNetns(this.netns, this.settings.ipv6);
    await ipBatch(this.netns, [
      `link add cni0 mtu ${this.podMtu} type bridge`,
      `address add 10.244.${this.index}.1/24 dev cni0`,
      'link set cni0 up',
    ]);
    await sysctl(this.netns, { 'net/ipv4/ip_forward': 1 });
  }

  /** Adds a pod behind cni0, as the CNI bridge plugin does. */
  async addPod(): Promise<Pod> {
    const number = this.pods.length + 1;
    const name = `${this.name}-pod${number}`;
    const pod: Pod = {
      name,
      netns: `${this.settings.lab}-${name}`,
      address: `10.244.${this.index}.${10 + number}`,
    };
    this.pods.push(pod);
    await makeNetns(pod.netns, this.settings.ipv6);
    const mtu = this.podMtu;
    await ipBatch(this.netns, [
      `link add veth${number} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${pod.netns}`,
      `link set veth${number} master cni0`,
      `link set veth${number} up`,
    ]);
    await ipBatch(pod.netns, [
      `address add ${pod.address}/24 dev eth0`,
      'link set eth0 up',
      `route add default via 10.244.${this.index}.1`,
    ]);
    return pod;
  }
}

/**
 * Creates a namespace whose settings do not depend on the host's (IPv4 sysctls are inherited). Without IPv6 only the
 * test's packets cross flannel.1: no router solicitations, no MLD.
 */
export async function makeNetns(netns: string, ipv6: boolean): Promise<void> {
  await exec(['ip', 'netns', 'add', netns]);
  await sysctl(netns, {
    'net/ipv4/conf/all/rp_filter': 0,
    'net/ipv4/conf/default/rp_filter': 0,
  });
  if (!ipv6) {
    // A kernel without IPv6 has no such file.
    await exec(
      [
        'sh',
        '-c',
        'for f in all default; do p=/proc/sys/net/ipv6/conf/$f/disable_ipv6; [ ! -e $p ] || echo 1 > $p; done',
      ],
      { netns },
    );
  }
  await ipBatch(netns, ['link set lo up']);
}
