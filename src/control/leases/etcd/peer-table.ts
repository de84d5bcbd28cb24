/** The leases of all other nodes as etcd has them, kept up to date by its events. */

import type { Family } from '../../addresses/family.js';
import type { NodeLeases } from '../lease.js';
import type { NamedLease } from '../peer-filter.js';
import { sameLeases } from '../same-lease.js';
import type { EntryReader } from './entry.js';
import type { KeyValue } from './protocol.js';

export class Roster {
  private readonly reader: EntryReader;
  private readonly leases = new Map<string, NodeLeases>();

  constructor(reader: EntryReader) {
    this.reader = reader;
  }

  /** Takes a snapshot in place of all there was, by key, so that changed attributes count. Returns whether any lease changed. */
  replace(kvs: readonly { name: string; kv: KeyValue }[]): boolean {
    const there = new Set(kvs.map(({ name }) => name));
    let changed = false;
    for (const name of [...this.leases.keys()]) if (!there.has(name)) changed = this.remove(name) || changed;
    for (const { name, kv } of kvs) changed = this.put(name, kv) || changed;
    return changed;
  }

  /** Takes a key's new value; one that is no good leaves what was good in force. Returns whether a lease changed. */
  put(name: string, kv: KeyValue): boolean {
    const entry = this.reader.read(kv);
    if (entry === undefined) return false;
    const before = this.leases.get(name);
    const leases = this.reader.leasesOf(entry, before ?? {});
    if (leases === undefined) return this.leases.delete(name);
    this.leases.set(name, leases);
    return before === undefined || !sameLeases(before, leases);
  }

  /** A key is gone. Returns whether it was a lease. */
  remove(name: string): boolean {
    this.reader.forget(name);
    return this.leases.delete(name);
  }

  /** Those of one family. */
  all(family: Family): NamedLease[] {
    const named: NamedLease[] = [];
    for (const [name, leases] of this.leases) {
      const lease = leases[family];
      if (lease !== undefined) named.push({ name, lease });
    }
    return named;
  }
}
