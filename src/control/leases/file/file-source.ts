/**
 * Leases from a JSON file that is watched.
 *
 * The file is looked at with stat, not inotify: that sees an edit in place, a rename over it, a ConfigMap's swapped
 * symlink, a file system of another machine and a file that comes back after it was gone, all alike, for a handful of
 * system calls a second.
 */

import { unwatchFile, watchFile } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { familiesIn, mapFamilies, valueIn } from '../../addresses/family.js';
import { readNetConf } from '../../config/net-conf.js';
import type { FileOptions } from '../../options.js';
import { info } from '../../support/log.js';
import type { LeaseSets, NodeLeases } from '../lease.js';
import { findOwnLease } from '../own-lease.js';
import type { Cluster, LeaseListener, LeaseRequest, LeaseSource } from '../source.js';
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
    return { netConf: await readNetConf(this.options.netConfigPath), publicIps: {} };
  }

  async preview(request: LeaseRequest): Promise<NodeLeases> {
    return mapFamilies(await this.load(request), ({ own }) => own);
  }

  /** Reads the leases; the file lists this node like any other, so nothing is published. */
  async acquire(request: LeaseRequest): Promise<LeaseSets> {
    const sets = await this.load(request);
    // From now on this node's address is fixed, because the socket is bound to it.
    const families = mapFamilies(request.families, (wanted, family) => ({
      ...wanted,
      addresses: [valueIn(sets, family).own.publicIp],
    }));
    this.request = { ...request, families };
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
    const { backend, networks } = request.netConf;
    const vni = backend.type === 'vxlan' ? backend.vni : undefined;
    const { ignored, leases } = await readLeaseFile(this.name, vni, familiesIn(networks));
    // `watch` logs them once the leases are in force: a start that is refused logs its error only.
    this.unsaid.push(...ignored.filter((sentence) => !this.ignored.has(sentence)));
    this.ignored.clear();
    for (const sentence of ignored) this.ignored.add(sentence);
    return mapFamilies(request.families, ({ addresses }, family) => {
      const all = valueIn(leases, family);
      const { network } = valueIn(networks, family);
      const own = findOwnLease(all, { interface: request.interface, addresses }, network, this.name);
      return { own, peers: all.filter(({ publicIp }) => publicIp !== own.publicIp) };
    });
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
