/**
 * Leases from a JSON file that is watched.
 *
 * The file is looked at with stat, not inotify: that sees an edit in place, a rename over it, a ConfigMap's swapped
 * symlink, a file system of another machine and a file that comes back after it was gone, all alike, for a handful of
 * system calls a second.
 */

import { unwatchFile, watchFile } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Ip, Subnet } from '../../addresses/address.js';
import { familiesOf, readNetConf } from '../../config/net-conf.js';
import type { FileOptions } from '../../options.js';
import { info } from '../../support/log.js';
import type { Lease, LeaseSet, LeaseSets, NodeLeases } from '../lease.js';
import { findOwnLease } from '../own-lease.js';
import type { Cluster, HalfRequest, LeaseListener, LeaseRequest, LeaseSource } from '../source.js';
import { readLeaseFile } from './lease-file.js';

const LOOK_EVERY_MS = 200;
/** A file that does not parse may be half written: it gets this long before it is refused. */
const SETTLE_MS = 100;

export class FileLeaseSource implements LeaseSource {
  readonly name: string;
  /** A file is always there to be looked at; what is wrong in it is a refusal. */
  readonly trouble = null;
  private readonly options: FileOptions;
  private request: LeaseRequest | undefined;
  /** What was said of leases that are not Weft's, and what is still to be said. */
  private readonly ignored = new Set<string>();
  private readonly unsaid: string[] = [];
  private reading: Promise<void> = Promise.resolve();

  constructor(options: FileOptions) {
    this.name = options.leaseFile;
    this.options = options;
  }

  async open(): Promise<Cluster> {
    const netConf = await readNetConf(this.options.netConfigPath);
    return { netConf, nodePublicIp: undefined, nodePublicIpv6: undefined };
  }

  async preview(request: LeaseRequest): Promise<NodeLeases> {
    const { ipv4, ipv6 } = await this.load(request);
    return { ipv4: ipv4?.own, ipv6: ipv6?.own };
  }

  /** The file lists this node as any other: nothing is published. */
  async acquire(request: LeaseRequest): Promise<LeaseSets> {
    const sets = await this.load(request);
    const { ipv4, ipv6 } = request;
    this.request = {
      ...request,
      ipv4: ipv4 && settled(ipv4, sets.ipv4),
      ipv6: ipv6 && settled(ipv6, sets.ipv6),
    };
    return sets;
  }

  watch({ onLeases, onRefused }: Omit<LeaseListener, 'onRevoked'>): void {
    const { request } = this;
    if (request === undefined) throw new Error('a lease file is watched once its lease was acquired');
    const look = (): void => {
      this.reading = this.reading
        .then(() => this.reload(request))
        .then((leases) => {
          for (const sentence of this.unsaid.splice(0)) info(sentence);
          return onLeases(leases);
        })
        .catch(onRefused);
    };
    watchFile(this.name, { interval: LOOK_EVERY_MS, persistent: false }, look);
    // Once now: an edit after `acquire` and before the first look would not be seen as a change.
    look();
  }

  markReady(): void {}

  async close(): Promise<void> {
    unwatchFile(this.name);
  }

  private async load(request: LeaseRequest): Promise<LeaseSets> {
    const { netConf, ipv4, ipv6 } = request;
    const { backend } = netConf;
    const vni = backend.type === 'vxlan' ? backend.vni : undefined;
    const { ignored, ...leases } = await readLeaseFile(this.name, vni, familiesOf(netConf));
    // Said by `watch`, once the leases are in force: a start that is refused says one thing only.
    this.unsaid.push(...ignored.filter((sentence) => !this.ignored.has(sentence)));
    this.ignored.clear();
    for (const sentence of ignored) this.ignored.add(sentence);
    return {
      ...(ipv4 && { ipv4: this.setOf(leases.ipv4, request, ipv4, netConf.ipv4?.network) }),
      ...(ipv6 && { ipv6: this.setOf(leases.ipv6, request, ipv6, netConf.ipv6?.network) }),
    };
  }

  private setOf<A extends Ip>(
    leases: Lease<A>[],
    request: LeaseRequest,
    { addresses }: HalfRequest<A>,
    network: Subnet<A> | undefined,
  ): LeaseSet<A> {
    if (network === undefined) throw new Error('a family that the network configuration has not');
    const own = findOwnLease(leases, { interface: request.interface, addresses }, network, this.name);
    return { own, peers: leases.filter(({ publicIp }) => publicIp !== own.publicIp) };
  }

  private async reload(request: LeaseRequest): Promise<LeaseSets> {
    try {
      return await this.load(request);
    } catch {
      await delay(SETTLE_MS);
      return await this.load(request);
    }
  }
}

/** From now on it is this address, which the socket is bound to, whatever other one gets a lease. */
function settled<A extends Ip>(request: HalfRequest<A>, set: LeaseSet<A> | undefined): HalfRequest<A> {
  return set === undefined ? request : { ...request, addresses: [set.own.publicIp] };
}
