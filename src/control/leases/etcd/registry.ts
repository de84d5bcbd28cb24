/** flannel's keys in etcd: `<prefix>/config`, and one under `<prefix>/subnets/` per node (pkg/subnet/etcd/registry.go). */

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

/** Keys asked for at a time: an answer stays well below what gRPC sends in one message. */
const PAGE = 1000;

/** All nodes' keys as they were at one revision. */
export interface Snapshot {
  header: Header;
  kvs: KeyValue[];
}

/** How long a key is to live: seconds, or for ever. */
export type Ttl = number | 'permanent';

/** What a put has come to. */
export interface Stored {
  revision: Long;
  /** The lease that etcd has granted for it; zero of a key that stays. */
  lease: Long;
}

export class Registry {
  /** Key of the network configuration. */
  readonly configKey: string;
  /** What all nodes' keys begin with. */
  readonly subnets: string;
  private readonly client: EtcdClient;
  /** Ids of the leases that etcd has granted here: one a day. */
  private readonly granted = new Set<string>();

  constructor(client: EtcdClient, prefix: string) {
    this.client = client;
    this.configKey = posix.join(prefix, 'config');
    this.subnets = `${posix.join(prefix, 'subnets')}/`;
  }

  /** First and last of the range of all nodes' keys; the end is not in it. */
  get range(): { key: Buffer; rangeEnd: Buffer } {
    const { subnets } = this;
    // "0" follows "/".
    return { key: Buffer.from(subnets), rangeEnd: Buffer.from(`${subnets.slice(0, -1)}0`) };
  }

  /** A node's name in `subnets`. */
  nameOf({ key }: KeyValue): string {
    return key.toString().slice(this.subnets.length);
  }

  /** The text of the network configuration; undefined when there is none. @throws EtcdError */
  async readConfig(): Promise<string | undefined> {
    const { kvs } = await this.client.call(RANGE, { key: Buffer.from(this.configKey) });
    return kvs[0]?.value.toString();
  }

  /** @throws EtcdError */
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

  /** One node's key; undefined when it is not there. @throws EtcdError */
  async read(name: string): Promise<KeyValue | undefined> {
    const { kvs } = await this.client.call(RANGE, { key: this.keyOf(name) });
    return kvs[0];
  }

  /** Puts a key that must not be there. Returns undefined when it was there. @throws EtcdError */
  create(name: string, value: string, ttl: Ttl): Promise<Stored | undefined> {
    const key = this.keyOf(name);
    return this.put(key, value, ttl, { target: VERSION, key, version: 0 });
  }

  /** Puts a key that must not have changed since `revision`. Returns undefined when it had. @throws EtcdError */
  update(name: string, value: string, ttl: Ttl, revision: Long): Promise<Stored | undefined> {
    const key = this.keyOf(name);
    return this.put(key, value, ttl, { target: MOD_REVISION, key, modRevision: revision });
  }

  /** Puts a key again just as it was found. Returns its revision, undefined when it has changed since. @throws EtcdError */
  async putBack({ key, value, lease, modRevision }: KeyValue): Promise<Long | undefined> {
    const { header, succeeded } = await this.client.call(TXN, {
      compare: [{ target: MOD_REVISION, key, modRevision }],
      success: [{ put: { key, value, lease } }],
    });
    return succeeded ? header.revision : undefined;
  }

  /** Whether a lease was granted here: a key that hangs on it was put here first, be it that the answer got lost. */
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

  /** Milliseconds that are left of a lease; negative when it is gone. @throws EtcdError */
  async timeLeft(lease: Long): Promise<number> {
    const { ttl } = await this.client.call(LEASE_TTL, { id: lease });
    return ttl.toNumber() * 1000;
  }

  private async put(
    key: Buffer,
    value: string,
    ttl: Ttl,
    condition: TxnRequest['compare'][number],
  ): Promise<Stored | undefined> {
    const lease = ttl === 'permanent' ? Long.ZERO : (await this.client.call(LEASE_GRANT, { ttl })).id;
    if (!lease.isZero()) this.granted.add(lease.toString());
    const { header, succeeded } = await this.client.call(TXN, {
      compare: [condition],
      success: [{ put: { key, value: Buffer.from(value), lease } }],
    });
    if (succeeded) return { revision: header.revision, lease };
    // Where the answer to a put got lost, the next endpoint is asked to put it too, and finds it there.
    const { kvs } = await this.client.call(RANGE, { key });
    const [kv] = kvs;
    if (kv?.lease.equals(lease) && !lease.isZero()) return { revision: kv.modRevision, lease };
    // It would expire by itself: a failure to revoke it is none.
    if (!lease.isZero()) await this.client.call(LEASE_REVOKE, { id: lease }).catch(() => {});
    return undefined;
  }

  private keyOf(name: string): Buffer {
    return Buffer.from(`${this.subnets}${name}`);
  }
}
