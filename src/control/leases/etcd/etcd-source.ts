/** Leases from etcd v3, where each flannel node acquires its own subnet (docs/etcd.md). */

import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { formatCidr } from '../../addresses/cidr.js';
import { type NetConf, netConfOf } from '../../config/net-conf.js';
import type { EtcdOptions } from '../../options.js';
import { JsonFile } from '../../support/json-file.js';
import { info } from '../../support/log.js';
import { Pace } from '../../support/pace.js';
import { Serial } from '../../support/serial.js';
import { UserError } from '../../support/user-error.js';
import type { LeaseSets, NodeLeases } from '../lease.js';
import { Outage } from '../outage.js';
import { LeaseSetFilter } from '../peer-filter.js';
import type { Cluster, LeaseListener, LeaseRequest, LeaseSource } from '../source.js';
import { readStoredMacs, storeMacs } from '../stored-macs.js';
import { acquire, type NodeRequest, type OwnKey, previewLeases } from './acquire.js';
import { readEndpoints } from './endpoint.js';
import { EntryReader } from './entry.js';
import { EtcdClient } from './etcd-client.js';
import { EtcdError } from './etcd-error.js';
import { Keeper } from './keeper.js';
import { KeyWatcher } from './key-watcher.js';
import { formatLeaseValue } from './lease-value.js';
import { PeerTable } from './peer-table.js';
import type { KeyValue } from './protocol.js';
import { Registry, type Snapshot } from './registry.js';
import { mapWithIpv4 } from './subnet-key.js';
import { ETCD_TIMING, type EtcdTiming } from './timing.js';

/** flannel's words. */
const FAILED_TO_READ_CONFIG = "Couldn't fetch network config: ";
const FAILED_TO_ACQUIRE = 'Error registering network: failed to acquire lease: ';

/** The error while etcd answers but has no usable network configuration yet. */
class NotYet extends Error {}

/** This node's key and the other nodes' leases. */
interface AcquiredKey {
  own: OwnKey;
  peers: PeerTable;
  snapshot: Snapshot;
  netConf: NetConf;
}

export class EtcdLeaseSource implements LeaseSource {
  readonly name: string;
  private readonly options: EtcdOptions;
  private readonly timing: EtcdTiming;
  private readonly random: () => number;
  private readonly filter = new LeaseSetFilter();
  private listener: LeaseListener | undefined;
  /** A move before `watch`, which begins it. */
  private earlyMove: LeaseRequest | undefined;
  /** The sets that the listener applied last. */
  private delivered: LeaseSets | undefined;
  /** An outage during start-up is reported at once; later outages have a grace period. */
  private outage = new Outage();
  private openRegistry: Registry | undefined;
  private acquired: AcquiredKey | undefined;
  private keyWatcher: KeyWatcher | undefined;
  private keeper: Keeper | undefined;
  private collecting: NodeJS.Timeout | undefined;
  private readonly deliveries = new Serial();
  private readonly pace = new Pace();
  private closed = false;

  constructor(options: EtcdOptions, timing: Partial<EtcdTiming> = {}, random: () => number = Math.random) {
    this.options = options;
    this.timing = { ...ETCD_TIMING, marginMs: options.renewMargin * 60_000, ...timing };
    this.random = random;
    this.name = `etcd ${options.prefix}`;
  }

  get notReady(): string | null {
    return this.outage.notReady;
  }

  get watchRestarts(): number {
    return this.keyWatcher?.restarts ?? 0;
  }

  get files(): readonly string[] {
    const { caFile, certFile, keyFile } = this.options;
    return [caFile, certFile, keyFile].filter((path) => path !== undefined);
  }

  async open(signal: AbortSignal): Promise<Cluster> {
    const client = new EtcdClient(this.options, this.timing, await readEndpoints(this.options));
    this.openRegistry = new Registry(client, this.options.prefix, this.timing.leaseTtlS);
    const netConf = await this.retry(signal, FAILED_TO_READ_CONFIG, () => this.readNetConf());
    return { netConf, publicIps: {} };
  }

  async preview(request: LeaseRequest, signal: AbortSignal): Promise<LeaseSets> {
    const { registry } = this;
    const reader = new EntryReader(registry, request.netConf);
    const node = await this.nodeRequest(request);
    return await this.retry(signal, FAILED_TO_ACQUIRE, async () => {
      const own = await previewLeases(registry, reader, node);
      const peers = new PeerTable(registry, reader, '');
      peers.replace((await registry.readSubnets()).kvs);
      // The filter leaves out this node's own key, because it has the same subnet.
      return new LeaseSetFilter().setsOf('this node', own, peers.nodes);
    });
  }

  async acquire(request: LeaseRequest, signal: AbortSignal): Promise<LeaseSets> {
    const { registry } = this;
    const previous = request.families.ipv4?.previous;
    info(
      `Created subnet manager: Etcd Local Manager with Previous Subnet: ${previous === undefined ? 'None' : formatCidr(previous)}`,
    );
    const reader = new EntryReader(registry, request.netConf);
    const { netConf } = request;
    const node = await this.nodeRequest(request);
    const store = (leases: NodeLeases): Promise<void> =>
      storeMacs(this.options.runDir, netConf.backend, leases);
    const { own, snapshot } = await this.retry(signal, FAILED_TO_ACQUIRE, () =>
      acquire(registry, reader, node, this.random, store),
    );
    const peers = new PeerTable(registry, reader, own.name);
    peers.replace(snapshot.kvs);
    this.acquired = { own, peers, snapshot, netConf };
    this.delivered = this.filter.setsOf(own.name, own.leases, peers.nodes);
    return this.delivered;
  }

  watch(listener: LeaseListener): void {
    const { acquired, registry, timing } = this;
    if (acquired === undefined) throw new Error('this node has no lease yet');
    const { own, peers, snapshot } = acquired;
    const keeper = new Keeper(registry, own, timing, () =>
      listener.onRevoked('Lease has been revoked. Shutting down daemon.'),
    );
    const deliverIf = (changed: boolean): void => {
      // A put that changes no lease makes it newer than one that it contradicts.
      if (changed || this.filter.hasContradictions) this.deliverSoon(acquired, listener);
    };
    const isOwn = (kv: KeyValue): boolean => registry.nameOf(kv) === own.name;
    this.keeper = keeper;
    this.listener = listener;
    this.outage = new Outage({ graceMs: timing.graceMs });
    this.keyWatcher = new KeyWatcher(registry, this.outage, timing.backoff, {
      onSnapshot: (later) => {
        const kv = later.kvs.find(isOwn);
        if (kv === undefined) keeper.onDelete();
        else keeper.onPut(kv);
        deliverIf(peers.replace(later.kvs));
      },
      onPut: (kv) => {
        if (isOwn(kv)) keeper.onPut(kv);
        else deliverIf(peers.put(registry.nameOf(kv), kv));
      },
      onDelete: (kv) => {
        if (isOwn(kv)) keeper.onDelete();
        else deliverIf(peers.remove(registry.nameOf(kv)));
      },
    });
    keeper.schedule();
    void this.keyWatcher.run(snapshot);
    // Frees the memory: the peer table has all of it.
    snapshot.kvs.length = 0;
    if (this.earlyMove !== undefined) void this.move(this.earlyMove);
  }

  async move(request: LeaseRequest): Promise<void> {
    const { acquired, keeper, listener, registry } = this;
    if (acquired === undefined) throw new Error('this node has no lease yet');
    if (keeper === undefined || listener === undefined) {
      this.earlyMove = request;
      return;
    }
    if (this.closed) return;
    const { own, netConf } = acquired;
    registry.client.reconnect();
    const leases = mapWithIpv4(own.leases, (lease, family) => ({
      ...lease,
      publicIp: request.families[family]?.publicIp ?? lease.publicIp,
    }));
    if (isDeepStrictEqual(leases, own.leases)) return;
    keeper.move(leases, formatLeaseValue(leases, netConf.backend));
    this.deliverSoon(acquired, listener);
  }

  markReady(): void {}

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.collecting);
    this.keeper?.stop();
    this.keyWatcher?.stop();
    this.openRegistry?.client.close();
  }

  private async nodeRequest({ netConf, families: { ipv4, ipv6 } }: LeaseRequest): Promise<NodeRequest> {
    if (ipv4 === undefined) throw new Error('leases in etcd need an IPv4 request');
    const storedMacs = await readStoredMacs(this.options.runDir, netConf.backend);
    return { netConf, storedMacs, families: { ipv4, ipv6 } };
  }

  private get registry(): Registry {
    if (this.openRegistry === undefined) throw new Error('the source is not open');
    return this.openRegistry;
  }

  /** @throws NotYet, UserError, EtcdError */
  private async readNetConf(): Promise<NetConf> {
    const { registry } = this;
    const text = await registry.readConfig();
    if (text === undefined) {
      throw new NotYet(
        `flannel config not found in etcd store. Did you create your config using etcdv3 API? There is no key ${registry.configKey} at ${registry.client.endpoints}`,
      );
    }
    const netConf = parseNetConf(registry.configKey, text);
    if (netConf.networks.ipv4 === undefined && netConf.networks.ipv6 !== undefined) {
      throw new UserError(
        `${registry.configKey}: an IPv6-only cluster cannot have its leases in etcd: flannel's keys begin with an IPv4 subnet; set EnableIPv4 to true, or use leases from Kubernetes or a lease file`,
      );
    }
    return netConf;
  }

  /**
   * Retries the action every second while etcd is unreachable or refuses it. An operator may still start etcd, or
   * correct user and configuration. @throws any other error, and the signal's reason
   */
  private async retry<T>(signal: AbortSignal, words: string, action: () => Promise<T>): Promise<T> {
    const { client } = this.registry;
    const cancel = (): void => client.close();
    signal.throwIfAborted();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      for (;;) {
        try {
          const result = await action();
          this.outage.end(`etcd at ${client.endpoints} answers`);
          return result;
        } catch (error) {
          if (signal.aborted) throw signal.reason;
          if (error instanceof UserError) throw new UserError(`${words}${error.message}`);
          if (!(error instanceof EtcdError || error instanceof NotYet)) throw error;
          const kind = error instanceof EtcdError ? error.kind : error.message;
          this.outage.report(`${words}${error.message}; retrying every second`, kind);
        }
        await delay(this.timing.retryMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  /** Delivers one set for all changes within `collectMs`, after the listener has applied the set before. */
  private deliverSoon({ own, peers }: AcquiredKey, listener: LeaseListener): void {
    if (this.collecting !== undefined) return;
    const deliver = async (): Promise<void> => {
      if (this.closed) return;
      const sets = this.filter.setsOf(own.name, own.leases, peers.nodes);
      if (isDeepStrictEqual(sets, this.delivered)) return;
      await listener.onLeases(sets);
      this.delivered = sets;
    };
    const paced = async (): Promise<void> => {
      await this.pace.wait();
      this.collecting = undefined;
      await this.pace.run(deliver);
    };
    this.collecting = setTimeout(() => {
      this.deliveries.run(paced).catch((error: Error) => listener.onRefused(error));
    }, this.timing.collectMs);
    this.collecting.unref();
  }
}

/** @throws NotYet for an invalid configuration, which an operator may correct */
function parseNetConf(key: string, text: string): NetConf {
  try {
    return netConfOf(JsonFile.parse('--etcd-prefix', key, text));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new NotYet(`error parsing subnet config: ${error.message}`);
  }
}
