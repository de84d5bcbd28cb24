/**
 * Leases from a JSON file that is watched.
 *
 * The file is looked at with stat, not inotify: that sees an edit in place, a rename over it, a ConfigMap's swapped
 * symlink, a file system of another machine and a file that comes back after it was gone, all alike, for a handful of
 * system calls a second.
 */

import { unwatchFile, watchFile } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { readNetConf } from '../config/net-conf.js';
import { info } from '../log.js';
import type { FileOptions } from '../options.js';
import type { Lease, LeaseSet } from './lease.js';
import { readLeaseFile } from './lease-file.js';
import { findOwnLease } from './own-lease.js';
import type { Cluster, LeaseListener, LeaseRequest, LeaseSource } from './source.js';

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

  async preview(request: LeaseRequest): Promise<Lease> {
    return (await this.load(request)).own;
  }

  /** The file lists this node as any other: nothing is published. */
  async acquire(request: LeaseRequest): Promise<LeaseSet> {
    const set = await this.load(request);
    // From now on it is this address, which the socket is bound to, whatever other one gets a lease.
    this.request = { ...request, addresses: [set.own.publicIp] };
    return set;
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

  private async load(request: LeaseRequest): Promise<LeaseSet> {
    const { backend } = request.netConf;
    const vni = backend.type === 'vxlan' ? backend.vni : undefined;
    const { leases, ignored } = await readLeaseFile(this.name, vni);
    // Said by `watch`, once the leases are in force: a start that is refused says one thing only.
    this.unsaid.push(...ignored.filter((sentence) => !this.ignored.has(sentence)));
    this.ignored.clear();
    for (const sentence of ignored) this.ignored.add(sentence);
    const own = findOwnLease(leases, request, request.netConf, this.name);
    return { own, peers: leases.filter(({ publicIp }) => publicIp !== own.publicIp) };
  }

  private async reload(request: LeaseRequest): Promise<LeaseSet> {
    try {
      return await this.load(request);
    } catch {
      await delay(SETTLE_MS);
      return await this.load(request);
    }
  }
}
