/** Leases from Etcd. */

import type { EtcdOptions } from '../../options.js';
import type { Lease, LeaseSet } from '../lease.js';
import type { Cluster, LeaseSource } from '../source.js';

export class EtcdLeaseSource implements LeaseSource {
  readonly name: string;
  readonly trouble: string | null = null;

  constructor(options: EtcdOptions) {
    this.name = options.type;
  }

  open(): Promise<Cluster> {
    throw new Error('to be built');
  }

  preview(): Promise<Lease> {
    throw new Error('to be built');
  }

  acquire(): Promise<LeaseSet> {
    throw new Error('to be built');
  }

  watch(): void {}

  markReady(): void {}

  async close(): Promise<void> {}
}
