/** Leases from etcd v3, where each flannel node takes its subnet by itself (docs/etcd.md). */

import { setTimeout as delay } from 'node:timers/promises';
import { formatCidr } from '../../addresses/cidr.js';
import { mapFamilies } from '../../addresses/family.js';
import { type NetConf, netConfOf } from '../../config/net-conf.js';
import type { EtcdOptions } from '../../options.js';
import { JsonFile } from '../../support/json-file.js';
import { info } from '../../support/log.js';
import { UserError } from '../../support/user-error.js';
import type { Lease, LeaseSet, LeaseSets, NodeLeases } from '../lease.js';
import { Outage } from '../outage.js';
import { PeerFilter } from '../peer-filter.js';
import type { Cluster, LeaseListener, LeaseRequest, LeaseSource } from '../source.js';
import { acquire, FAILED, leasesFor, type NodeRequest, type OwnKey, wishOf } from './acquire.js';
import { choose } from './choice.js';
import { EtcdClient } from './client.js';
import { EntryReader } from './entry.js';
import { EtcdError } from './etcd-error.js';
import { Follower } from './follower.js';
import { Keeper } from './keeper.js';
import { Registry, type Snapshot } from './registry.js';
import { Roster } from './roster.js';
import { TIMINGS, type Timings } from './timings.js';

/** etcd is there, but not what has to be in it: somebody is still to put it there. */
class NotYet extends Error {}

/** Open: etcd has answered. */
interface Opened {
  client: EtcdClient;
  registry: Registry;
}

/** Acquired: this node has its key. */
interface Acquired {
  own: OwnKey;
  roster: Roster;
  snapshot: Snapshot;
}

export class EtcdLeaseSource implements LeaseSource {
  readonly name: string;
  private readonly options: EtcdOptions;
  private readonly timings: Timings;
  private readonly random: () => number;
  private readonly filters = { ipv4: new PeerFilter(), ipv6: new PeerFilter() };
  /** An etcd that is waited for at the start is trouble at once. */
  private readonly starting: Outage;
  private readonly watching: Outage;
  private opened: Opened | undefined;
  private acquired: Acquired | undefined;
  private follower: Follower | undefined;
  private keeper: Keeper | undefined;
  private collecting: NodeJS.Timeout | undefined;
  private handing: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(options: EtcdOptions, timings: Partial<Timings> = {}, random: () => number = Math.random) {
    this.options = options;
    this.timings = { ...TIMINGS, ...timings };
    this.random = random;
    this.name = `etcd ${options.prefix}`;
    const { sayEveryMs, troubleAfterMs } = this.timings;
    this.starting = new Outage({ graceMs: 0, quietMs: 0, remindMs: sayEveryMs });
    this.watching = new Outage({ graceMs: troubleAfterMs, quietMs: 0, remindMs: sayEveryMs });
  }

  get notReady(): string | null {
    return this.starting.notReady ?? this.watching.notReady;
  }

  async open(signal: AbortSignal): Promise<Cluster> {
    const client = await EtcdClient.create(this.options, this.timings);
    const registry = new Registry(client, this.options.prefix);
    this.opened = { client, registry };
    const netConf = await this.persist(signal, "Couldn't fetch network config: ", () => this.readNetConf());
    return { netConf, publicIps: {} };
  }

  async preview(request: LeaseRequest, signal: AbortSignal): Promise<NodeLeases> {
    const { registry } = this.reached();
    const reader = this.readerFor(request.netConf);
    const wanted = nodeRequest(request);
    return await this.persist(signal, FAILED, async () => {
      const { kvs } = await registry.readSubnets();
      const entries = kvs.flatMap((kv) => reader.read(kv) ?? []);
      return leasesFor(
        choose(entries, wishOf(wanted), () => 0),
        wanted,
      );
    });
  }

  async acquire(request: LeaseRequest, signal: AbortSignal): Promise<LeaseSets> {
    const { registry } = this.reached();
    const wanted = nodeRequest(request);
    const { previous } = wanted.ipv4;
    info(
      `Created subnet manager: Etcd Local Manager with Previous Subnet: ${previous === undefined ? 'None' : formatCidr(previous)}`,
    );
    const reader = this.readerFor(request.netConf);
    const { own, snapshot } = await this.persist(signal, FAILED, () =>
      acquire(registry, reader, wanted, this.timings.leaseTtlS, this.random),
    );
    const roster = new Roster(reader);
    this.acquired = { own, roster, snapshot };
    this.replace(snapshot);
    return this.sets(this.acquired);
  }

  watch(listener: LeaseListener): void {
    const { client, registry } = this.reached();
    const { acquired, timings } = this;
    if (acquired === undefined) throw new Error('etcd is watched once a lease was acquired');
    const { own, roster, snapshot } = acquired;
    const times = {
      ttlS: timings.leaseTtlS,
      marginMs: timings.marginMs ?? this.options.renewMargin * 60_000,
      againMs: timings.renewAgainMs,
    };
    const keeper = new Keeper(registry, own, times, () => {
      listener.onRevoked('Lease has been revoked. Shutting down daemon.');
    });
    const changed = (is: boolean): void => {
      if (is) this.collect(acquired, listener);
    };
    this.keeper = keeper;
    this.follower = new Follower(client, registry, this.watching, timings.reconnect, {
      onSnapshot: (again) => {
        const kv = again.kvs.find((candidate) => registry.nameOf(candidate) === own.name);
        if (kv === undefined) keeper.gone();
        else keeper.seen(kv);
        changed(this.replace(again));
      },
      onPut: (kv) => {
        const name = registry.nameOf(kv);
        if (name === own.name) keeper.seen(kv);
        else changed(roster.put(name, kv));
      },
      onDelete: (kv) => {
        const name = registry.nameOf(kv);
        if (name === own.name) keeper.gone();
        else changed(roster.remove(name));
      },
    });
    keeper.start();
    void this.follower.run(snapshot);
    // It is all in the roster by now, and is not to be kept twice.
    snapshot.kvs.length = 0;
  }

  markReady(): void {}

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.collecting);
    this.keeper?.stop();
    this.follower?.stop();
    this.opened?.client.close();
  }

  private async readNetConf(): Promise<NetConf> {
    const { client, registry } = this.reached();
    const text = await registry.readConfig();
    if (text === undefined) {
      throw new NotYet(
        `flannel config not found in etcd store. Did you create your config using etcdv3 API? There is no key ${registry.configKey} at ${client.endpoints}`,
      );
    }
    const netConf = this.parseNetConf(text);
    if (netConf.networks.ipv4 === undefined && netConf.networks.ipv6 !== undefined) {
      throw new UserError(
        `${registry.configKey}: an IPv6-only cluster cannot have its leases in etcd: flannel's keys begin with an IPv4 subnet; set EnableIPv4 to true, or take the leases from Kubernetes or a lease file`,
      );
    }
    return netConf;
  }

  private parseNetConf(text: string): NetConf {
    try {
      return netConfOf(JsonFile.parse('--etcd-prefix', this.reached().registry.configKey, text));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new NotYet(`error parsing subnet config: ${error.message}`);
    }
  }

  /**
   * Does it again, once a second, for as long as etcd is away or says no: it may be on its way up, and whoever has given it
   * the wrong user or configuration may set it right. @throws what else went wrong, and the signal's reason
   */
  private async persist<T>(signal: AbortSignal, failed: string, action: () => Promise<T>): Promise<T> {
    const { client } = this.reached();
    const cancel = (): void => client.close();
    signal.throwIfAborted();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      for (;;) {
        try {
          const result = await action();
          this.starting.end(`etcd at ${client.endpoints} has what was waited for`);
          return result;
        } catch (error) {
          if (signal.aborted) throw signal.reason;
          if (error instanceof UserError) throw new UserError(`${failed}${error.message}`);
          if (!(error instanceof EtcdError || error instanceof NotYet)) throw error;
          const kind = error instanceof EtcdError ? error.code : error.message;
          this.starting.report(`${failed}${error.message}; it is looked at again every second`, kind);
        }
        await delay(this.timings.lookEveryMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  private reached(): Opened {
    if (this.opened === undefined) throw new Error('etcd has to be opened first');
    return this.opened;
  }

  private readerFor({ backend, networks }: NetConf): EntryReader {
    const vni = backend.type === 'vxlan' ? backend.vni : undefined;
    return new EntryReader(this.reached().registry, vni, networks.ipv6 !== undefined);
  }

  private replace({ kvs }: Snapshot): boolean {
    const { own, roster } = this.acquired as Acquired;
    const { registry } = this.reached();
    const others = kvs
      .map((kv) => ({ name: registry.nameOf(kv), kv }))
      .filter(({ name }) => name !== own.name);
    return roster.replace(others);
  }

  private sets({ own, roster }: Acquired): LeaseSets {
    return mapFamilies<Lease, LeaseSet>(own.leases, (lease, family) => ({
      own: lease,
      peers: this.filters[family].accept({ name: own.name, lease }, roster.all(family)),
    }));
  }

  /** Hands over a set once what comes together has come, and the set before has been taken. */
  private collect(acquired: Acquired, { onLeases, onRefused }: LeaseListener): void {
    if (this.collecting !== undefined) return;
    this.collecting = setTimeout(() => {
      this.handing = this.handing
        .then(() => {
          this.collecting = undefined;
          return this.closed ? undefined : onLeases(this.sets(acquired));
        })
        .catch(onRefused);
    }, this.timings.collectMs);
    this.collecting.unref();
  }
}

function nodeRequest({ netConf, families: { ipv4, ipv6 } }: LeaseRequest): NodeRequest {
  if (ipv4 === undefined) throw new Error('leases in etcd are of IPv4 at least');
  return { netConf, ipv4, ipv6 };
}
