/** The leases of all other nodes, kept up to date by etcd's events. */

import { isDeepStrictEqual } from 'node:util';
import type { Family } from '../../addresses/family.js';
import type { NodeLeases } from '../lease.js';
import type { NamedLease } from '../peer-filter.js';
import type { EntryReader } from './entry.js';
import type { KeyValue } from './protocol.js';

export class PeerTable {
  private readonly reader: EntryReader;
  private readonly leases = new Map<string, NodeLeases>();

  constructor(reader: EntryReader) {
    this.reader = reader;
  }

  /** Replaces all keys. Returns whether a lease changed. */
  replace(kvs: readonly { name: string; kv: KeyValue }[]): boolean {
    const current = new Set(kvs.map(({ name }) => name));
    let changed = false;
    for (const name of [...this.leases.keys()])
      if (!current.has(name)) changed = this.remove(name) || changed;
    for (const { name, kv } of kvs) changed = this.put(name, kv) || changed;
    return changed;
  }

  /** Sets a key's value; an invalid value leaves the valid lease in force. Returns whether a lease changed. */
  put(name: string, kv: KeyValue): boolean {
    const entry = this.reader.read(kv);
    if (entry === undefined) return false;
    const before = this.leases.get(name);
    const leases = this.reader.leasesOf(entry, before ?? {});
    if (leases === undefined) return this.leases.delete(name);
    this.leases.set(name, leases);
    return !isDeepStrictEqual(before, leases);
  }

  /** Removes a key. Returns whether it was a lease. */
  remove(name: string): boolean {
    this.reader.forget(name);
    return this.leases.delete(name);
  }

  /** Returns the leases of one family. */
  all(family: Family): NamedLease[] {
    return [...this.leases].flatMap(([name, { [family]: lease }]) =>
      lease === undefined ? [] : [{ name, lease }],
    );
  }
}
