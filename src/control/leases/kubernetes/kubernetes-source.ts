/**
 * Leases from Kubernetes, as flannel's --kube-subnet-mgr has them: the pod CIDR of each Node object is the subnet, what
 * flannel's nodes tell each other beyond that are annotations.
 */

import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { formatCidr } from '../../addresses/cidr.js';
import { FAMILIES, valuesOf } from '../../addresses/family.js';
import { formatIp } from '../../addresses/ip.js';
import { vxlanDevice } from '../../config/net-conf.js';
import type { KubernetesOptions } from '../../options.js';
import { Backoff } from '../../support/backoff.js';
import { info } from '../../support/log.js';
import { UserError } from '../../support/user-error.js';
import type { LeaseSets, NodeLeases } from '../lease.js';
import { Outage } from '../outage.js';
import { sameLeases, sameSets } from '../same-lease.js';
import type { Cluster, LeaseListener, LeaseRequest, LeaseSource } from '../source.js';
import { annotationsOf, NAMES } from './annotations.js';
import { ApiError } from './api-error.js';
import { ApiClient } from './client.js';
import { announceConfig } from './config.js';
import { findNodeName } from './node-name.js';
import type { NodeRecord } from './node-record.js';
import { overwriteOf, ownLeasesOf } from './own-lease.js';
import { PeerList } from './peers.js';
import { Publisher } from './publisher.js';
import { NodeReflector } from './reflector.js';
import { loadNetConf, prefixed, prefixOf, warnOfQueueDepth } from './settings.js';
import { TIMING, type Timing } from './timing.js';

/** What tests have otherwise. */
export interface Surroundings {
  timing?: Partial<Timing>;
  /** What stands before the path of the pod's service account. */
  serviceAccountRoot?: string;
}

/** What there is once the source is open. */
interface Opened {
  client: ApiClient;
  prefix: string;
  node: string;
  reflector: NodeReflector;
  /** Until when this node may still be missing from the list. */
  deadline: number;
}

/** What there is once this node has its lease. */
interface Acquired {
  request: LeaseRequest;
  own: NodeLeases;
  sets: LeaseSets;
  peers: PeerList;
  publisher: Publisher;
}

export class KubernetesLeaseSource implements LeaseSource {
  name = 'Kubernetes';
  private readonly options: KubernetesOptions;
  private readonly timing: Timing;
  private readonly serviceAccountRoot: string;
  /** Aborted by `close`. */
  private readonly ending = new AbortController();
  private readonly running: Promise<void>[] = [];
  /** For what is asked before there is a reflector. */
  private readonly starting = new Outage({ graceMs: 0, quietMs: 0 });
  private opened: Opened | undefined;
  private acquired: Acquired | undefined;
  private listener: LeaseListener | undefined;
  private refused: string | undefined;

  constructor(options: KubernetesOptions, { timing, serviceAccountRoot }: Surroundings = {}) {
    this.options = options;
    this.timing = { ...TIMING, ...timing };
    this.serviceAccountRoot = serviceAccountRoot ?? '';
  }

  get notReady(): string | null {
    return this.opened?.reflector.notReady ?? this.starting.notReady;
  }

  async open(signal: AbortSignal): Promise<Cluster> {
    try {
      return await this.openAll(signal);
    } catch (error) {
      throw prefixed('Failed to create SubnetManager', error);
    }
  }

  async preview(request: LeaseRequest, signal: AbortSignal): Promise<NodeLeases> {
    try {
      return ownLeasesOf(await this.ownNode(signal), request);
    } catch (error) {
      throw prefixed('Error registering network: failed to acquire lease', error);
    }
  }

  async acquire(request: LeaseRequest, signal: AbortSignal): Promise<LeaseSets> {
    try {
      return await this.register(request, signal);
    } catch (error) {
      throw prefixed('Error registering network: failed to acquire lease', error);
    }
  }

  watch(listener: LeaseListener): void {
    this.listener = listener;
    const { publisher } = this.theLease;
    this.theOpened.reflector.on('change', () => publisher.look());
    this.running.push(publisher.run(this.ending.signal), this.follow());
  }

  markReady(): void {
    this.theLease.publisher.markReady();
  }

  async close(): Promise<void> {
    this.ending.abort();
    this.opened?.reflector.removeAllListeners();
    await Promise.all(this.running);
  }

  private get theOpened(): Opened {
    if (this.opened === undefined) throw new Error('the source is not open');
    return this.opened;
  }

  private get theLease(): Acquired {
    if (this.acquired === undefined) throw new Error('this node has no lease yet');
    return this.acquired;
  }

  private async openAll(signal: AbortSignal): Promise<Cluster> {
    const { options, timing } = this;
    announceConfig(options);
    const client = await ApiClient.open(options, this.serviceAccountRoot, timing);
    const node = await this.nodeName(client, signal);
    const netConf = await loadNetConf(options.netConfigPath);
    const prefix = prefixOf(options.annotationPrefix);
    warnOfQueueDepth();
    this.name = `Kubernetes Subnet Manager - ${node}`;
    const reflector = new NodeReflector(client, prefix, timing);
    reflector.setMaxListeners(0);
    this.opened = { client, prefix, node, reflector, deadline: Number.POSITIVE_INFINITY };
    info('Waiting for node controller to sync');
    info('Starting kube subnet manager');
    this.running.push(reflector.run(this.ending.signal));
    await this.until(() => reflector.synced, signal);
    info('Node controller sync successful');
    info(`Created subnet manager: ${this.name}`);
    this.opened.deadline = performance.now() + timing.acquireMs;
    const own = await this.ownRecord(signal);
    return {
      netConf,
      publicIps: {
        ipv4: own?.annotations['node-public-ip'] || undefined,
        ipv6: own?.annotations['node-public-ipv6'] || undefined,
      },
    };
  }

  /** Asks until there is an answer. */
  private async nodeName(client: ApiClient, signal: AbortSignal): Promise<string> {
    const backoff = new Backoff(this.timing.backoff);
    for (;;) {
      try {
        const name = await findNodeName(client, AbortSignal.any([signal, this.ending.signal]));
        this.starting.end('the Kubernetes API server answers');
        return name;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        this.starting.report(`waiting for the Kubernetes API server: ${error.message}`);
        if (error.status === 401) await client.reload();
        const waitMs = backoff.next(error.retryAfterMs);
        await delay(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    }
  }

  private async register(request: LeaseRequest, signal: AbortSignal): Promise<LeaseSets> {
    const { client, reflector, node, prefix } = this.theOpened;
    const { netConf } = request;
    const { backend } = netConf;
    const record = await this.ownNode(signal);
    const own = ownLeasesOf(record, request);
    for (const family of FAMILIES) {
      const mac = own[family]?.vtepMac;
      if (backend.type !== 'vxlan' || mac === undefined) continue;
      info(`Interface ${vxlanDevice(backend.vni, family)} mac address set to: ${mac}`);
    }
    this.announceOverwrite(record, request);
    const publisher = new Publisher(
      client,
      reflector,
      { node, prefix, clearCondition: this.options.setNodeNetworkUnavailable },
      this.timing,
    );
    await publisher.publish(annotationsOf(own, netConf), AbortSignal.any([signal, this.ending.signal]));
    const peers = new PeerList(netConf);
    const sets = peers.of(reflector.nodes, node, own);
    this.acquired = { request, own, sets, peers, publisher };
    return sets;
  }

  /** This node's record; it may take a moment until the kubelet has registered it. @throws UserError */
  private async ownNode(signal: AbortSignal): Promise<NodeRecord> {
    const record = await this.ownRecord(signal);
    if (record !== undefined) return record;
    const { node, reflector } = this.theOpened;
    throw new UserError(
      `timeout contacting kube-api, failed to patch node "${node}". Error: ${reflector.notReady ?? `node "${node}" not found`}; NODE_NAME has to be a name that "kubectl get nodes" shows`,
    );
  }

  private async ownRecord(signal: AbortSignal): Promise<NodeRecord | undefined> {
    const { reflector, node, deadline } = this.theOpened;
    const leftMs = Math.max(0, Math.ceil(deadline - performance.now()));
    await this.until(() => reflector.nodes.has(node), signal, leftMs);
    return reflector.nodes.get(node);
  }

  /** Waits until the nodes are such, or the time is up. @throws the signal's reason */
  private async until(holds: () => boolean, signal: AbortSignal, timeoutMs?: number): Promise<void> {
    const timeout = timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)];
    const either = AbortSignal.any([signal, this.ending.signal, ...timeout]);
    while (!holds() && !either.aborted) {
      await once(this.theOpened.reflector, 'change', { signal: either }).catch(() => undefined);
    }
    signal.throwIfAborted();
    this.ending.signal.throwIfAborted();
  }

  private announceOverwrite(record: NodeRecord, request: LeaseRequest): void {
    for (const family of FAMILIES) {
      const half = request.families[family];
      const text = half && overwriteOf(record, family, half.publicIp);
      if (text === undefined) continue;
      info(
        `Overriding public ip${family === 'ipv6' ? 'v6' : ''} with '${text}' from node annotation '${this.theOpened.prefix}${NAMES[family].overwrite}'`,
      );
    }
  }

  /** Hands over a set after each change, and after all changes that came meanwhile. */
  private async follow(): Promise<void> {
    const { reflector } = this.theOpened;
    const { signal } = this.ending;
    let changed = true;
    reflector.on('change', () => {
      changed = true;
    });
    while (!signal.aborted) {
      if (!changed) {
        await once(reflector, 'change', { signal }).catch(() => undefined);
        await delay(this.timing.collectMs, undefined, { signal }).catch(() => undefined);
        continue;
      }
      changed = false;
      await this.deliver();
    }
  }

  private async deliver(): Promise<void> {
    const { acquired, listener, theOpened } = this;
    if (acquired === undefined || listener === undefined) return;
    const own = this.ownLeases(listener);
    const sets = acquired.peers.of(theOpened.reflector.nodes, theOpened.node, own);
    acquired.own = own;
    if (sameSets(sets, acquired.sets)) return;
    try {
      await listener.onLeases(sets);
      acquired.sets = sets;
    } catch (error) {
      listener.onRefused(error as Error);
    }
  }

  /** The leases this node has now: the last ones while its Node object is gone, or gives it none. */
  private ownLeases(listener: LeaseListener): NodeLeases {
    const { request, own: before, publisher } = this.theLease;
    const { reflector, node } = this.theOpened;
    const record = reflector.nodes.get(node);
    if (record === undefined) return before;
    try {
      const own = ownLeasesOf(record, request, before);
      this.refused = undefined;
      if (sameLeases(own, before)) return before;
      this.announceOverwrite(record, request);
      info(`this node's lease is ${describe(own)} now, after ${describe(before)}`);
      publisher.want(annotationsOf(own, request.netConf));
      return own;
    } catch (error) {
      const { message } = error as Error;
      if (this.refused !== message) listener.onRefused(error as Error);
      this.refused = message;
      return before;
    }
  }
}

/** `10.244.1.0/24 at 192.168.77.1`, of each family. */
function describe(leases: NodeLeases): string {
  return valuesOf(leases)
    .map(({ subnet, publicIp }) => `${formatCidr(subnet)} at ${formatIp(publicIp)}`)
    .join(' and ');
}
