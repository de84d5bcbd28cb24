/** The leases of all other nodes, kept up to date by etcd's events. */

import { isDeepStrictEqual } from 'node:util';
import type { RankedLeases } from '../peer-filter.js';
import type { EntryReader } from './entry.js';
import type { KeyValue } from './protocol.js';
import type { Registry } from './registry.js';

export class PeerTable {
  /**
   * By the key's name. A lease is as new as the last put of its key, because etcd does not know which nodes are alive. A
   * live node renews its lease once a day.
   */
  readonly nodes = new Map<string, RankedLeases>();
  private readonly registry: Registry;
  private readonly reader: EntryReader;
  private readonly ownName: string;

  constructor(registry: Registry, reader: EntryReader, ownName: string) {
    this.registry = registry;
    this.reader = reader;
    this.ownName = ownName;
  }

  /** Replaces all keys. Returns whether a lease changed. */
  replace(kvs: readonly KeyValue[]): boolean {
    const current = new Map(kvs.map((kv) => [this.registry.nameOf(kv), kv]));
    current.delete(this.ownName);
    let changed = false;
    for (const name of this.nodes.keys()) {
      if (!current.has(name)) changed = this.remove(name) || changed;
    }
    for (const [name, kv] of current) changed = this.put(name, kv) || changed;
    return changed;
  }

  /** Sets a key's value; an invalid value leaves the valid lease in force. Returns whether a lease changed. */
  put(name: string, kv: KeyValue): boolean {
    const entry = this.reader.read(kv);
    if (entry === undefined) return false;
    const before = this.nodes.get(name)?.leases;
    const leases = this.reader.leasesOf(entry, before);
    if (leases === undefined) return false;
    this.nodes.set(name, { leases, rank: { ready: true, time: entry.revision.toNumber() } });
    return !isDeepStrictEqual(before, leases);
  }

  /** Removes a key. Returns whether it was a lease. */
  remove(name: string): boolean {
    this.reader.forget(name);
    return this.nodes.delete(name);
  }
}
