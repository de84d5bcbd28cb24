/** flannel's keys in etcd: `<prefix>/config`, and one per node under `<prefix>/subnets/` (pkg/subnet/etcd/registry.go). */

import { posix } from 'node:path';
import type { EtcdClient } from './etcd-client.js';
import { Long } from './library.js';
import {
  type Header,
  type KeyValue,
  LEASE_GRANT,
  LEASE_REVOKE,
  LEASE_TTL,
  MOD_REVISION,
  RANGE,
  type RangeResponse,
  TXN,
  type TxnRequest,
  VERSION,
} from './protocol.js';

/** Keys per request, so that a response fits into one gRPC message. */
const PAGE = 1000;

/** The keys of all nodes at one revision. */
export interface Snapshot {
  header: Header;
  kvs: KeyValue[];
}

/** A successful put. */
interface Stored {
  revision: Long;
  /** The key's lease in etcd; zero for a permanent key. */
  lease: Long;
  /** Time by Date.now(); meaningless for a permanent key. */
  expiresAt: number;
}

export class Registry {
  /** The key of the network configuration. */
  readonly configKey: string;
  /** The common prefix of the nodes' keys. */
  readonly subnets: string;
  readonly client: EtcdClient;
  /** Time to live of a key that is not permanent, in seconds. */
  private readonly ttlS: number;
  /** Ids of the leases that etcd granted to this process, about one a day. */
  private readonly granted = new Set<string>();

  constructor(client: EtcdClient, prefix: string, ttlS: number) {
    this.client = client;
    this.ttlS = ttlS;
    this.configKey = posix.join(prefix, 'config');
    this.subnets = `${posix.join(prefix, 'subnets')}/`;
  }

  /** The range of the nodes' keys; `rangeEnd` is exclusive. */
  get range(): { key: Buffer; rangeEnd: Buffer } {
    const { subnets } = this;
    // "0" follows "/" in ASCII.
    return { key: Buffer.from(subnets), rangeEnd: Buffer.from(`${subnets.slice(0, -1)}0`) };
  }

  /** Returns a key's name within `subnets`. */
  nameOf({ key }: KeyValue): string {
    return key.toString().slice(this.subnets.length);
  }

  /** Returns the network configuration; undefined if the key is missing. @throws EtcdError */
  async readConfig(): Promise<string | undefined> {
    const { kvs } = await this.client.call(RANGE, { key: Buffer.from(this.configKey) });
    return kvs[0]?.value.toString();
  }

  /** Reads all nodes' keys, page by page at one revision. @throws EtcdError */
  async readSubnets(): Promise<Snapshot> {
    const { rangeEnd } = this.range;
    let { key } = this.range;
    const kvs: KeyValue[] = [];
    let header: Header | undefined;
    for (;;) {
      const page: RangeResponse = await this.client.call(RANGE, {
        key,
        rangeEnd,
        limit: PAGE,
        ...(header && { revision: header.revision }),
      });
      header ??= page.header;
      kvs.push(...page.kvs);
      if (!page.more) return { header, kvs };
      key = Buffer.concat([(kvs.at(-1) as KeyValue).key, Buffer.of(0)]);
    }
  }

  /** Returns one node's key; undefined if it is missing. @throws EtcdError */
  async read(name: string): Promise<KeyValue | undefined> {
    const { kvs } = await this.client.call(RANGE, { key: this.keyOf(name) });
    return kvs[0];
  }

  /** Puts a key that must not exist. Returns undefined if it exists. @throws EtcdError */
  create(name: string, value: string): Promise<Stored | undefined> {
    const key = this.keyOf(name);
    return this.put(key, value, false, { target: VERSION, key, version: 0 });
  }

  /**
   * Puts a key that must not have changed since `revision`; a permanent key stays permanent. Returns undefined if it has
   * changed. @throws EtcdError
   */
  update(
    { name, lease, revision }: { name: string; lease: Long; revision: Long },
    value: string,
  ): Promise<Stored | undefined> {
    const key = this.keyOf(name);
    return this.put(key, value, lease.isZero(), { target: MOD_REVISION, key, modRevision: revision });
  }

  /**
   * Puts a key again unchanged, so that its watchers get an event. Returns the new revision, or undefined if the key has
   * changed. @throws EtcdError
   */
  async touch({ key, value, lease, modRevision }: KeyValue): Promise<Long | undefined> {
    const { header, succeeded } = await this.client.call(TXN, {
      compare: [{ target: MOD_REVISION, key, modRevision }],
      success: [{ put: { key, value, lease } }],
    });
    return succeeded ? header.revision : undefined;
  }

  /** Returns whether etcd granted this lease to this process, even if the reply to the put that uses it was lost. */
  hasGranted(lease: Long): boolean {
    return this.granted.has(lease.toString());
  }

  /** Deletes a key unless it has changed since `revision`. @throws EtcdError */
  async delete(name: string, revision: Long): Promise<void> {
    const key = this.keyOf(name);
    await this.client.call(TXN, {
      compare: [{ target: MOD_REVISION, key, modRevision: revision }],
      success: [{ delete: { key } }],
    });
  }

  /** Returns the milliseconds left of a lease; a negative number if it has expired. @throws EtcdError */
  async timeLeft(lease: Long): Promise<number> {
    const { ttl } = await this.client.call(LEASE_TTL, { id: lease });
    return ttl.toNumber() * 1000;
  }

  private async put(
    key: Buffer,
    value: string,
    permanent: boolean,
    condition: TxnRequest['compare'][number],
  ): Promise<Stored | undefined> {
    const expiresAt = Date.now() + this.ttlS * 1000;
    const lease = permanent ? Long.ZERO : (await this.client.call(LEASE_GRANT, { ttl: this.ttlS })).id;
    if (!permanent) this.granted.add(lease.toString());
    const { header, succeeded } = await this.client.call(TXN, {
      compare: [condition],
      success: [{ put: { key, value: Buffer.from(value), lease } }],
    });
    if (succeeded) return { revision: header.revision, lease, expiresAt };
    if (permanent) return undefined;
    // If the reply to the first attempt was lost, the next endpoint finds the key already put.
    const [kv] = (await this.client.call(RANGE, { key })).kvs;
    if (kv?.lease.equals(lease)) return { revision: kv.modRevision, lease, expiresAt };
    // A lease that is not revoked expires by itself.
    await this.client.call(LEASE_REVOKE, { id: lease }).catch(() => {});
    return undefined;
  }

  private keyOf(name: string): Buffer {
    return Buffer.from(`${this.subnets}${name}`);
  }
}
