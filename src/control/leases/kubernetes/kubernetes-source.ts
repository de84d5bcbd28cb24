/**
 * Leases from Kubernetes, as flannel's --kube-subnet-mgr: a Node's pod CIDR is its subnet, and annotations hold the rest
 * of its lease.
 */

import { once } from 'node:events';
import { FAMILIES, familiesIn, perFamily, valueIn } from '../../addresses/family.js';
import { vxlanDevice } from '../../config/net-conf.js';
import type { KubernetesOptions } from '../../options.js';
import { Backoff } from '../../support/backoff.js';
import { info } from '../../support/log.js';
import { UserError } from '../../support/user-error.js';
import { Credentials } from '../credentials.js';
import { type LeaseSets, vtepMacOf } from '../lease.js';
import { Outage } from '../outage.js';
import type { Cluster, LeaseListener, LeaseRequest, LeaseSource } from '../source.js';
import { readStoredMacs, storeMacs } from '../stored-macs.js';
import { annotationPrefix, annotationsOf, FAMILY_ANNOTATIONS } from './annotations.js';
import { ApiClient } from './api-client.js';
import { ApiError } from './api-error.js';
import { deliverChanges, type KubernetesLeases } from './delivery.js';
import { loadAccess, warnOfInClusterConfig } from './kubeconfig.js';
import { LeaseSetBuilder } from './lease-sets.js';
import { describeMissingNode, findNodeName } from './node-name.js';
import type { NodeRecord } from './node-record.js';
import { logOverwrites, ownLeasesOf, ownMacsOf } from './own-leases.js';
import { Publisher } from './publisher.js';
import { NodeReflector } from './reflector.js';
import type { KubernetesSession } from './session.js';
import { loadNetConf, prefixErrors, warnOfQueueDepth } from './settings.js';
import { KUBERNETES_TIMING, type KubernetesTiming, UNREACHABLE_MOST_MS } from './timing.js';

/** Replacements for tests. */
interface Surroundings {
  timing?: Partial<KubernetesTiming>;
  /** Root directory of the path of the pod's service account. */
  serviceAccountRoot?: string;
}

/** flannel's words. */
const FAILED_TO_ACQUIRE = 'Error registering network: failed to acquire lease';

export class KubernetesLeaseSource implements LeaseSource {
  name = 'Kubernetes';
  private readonly options: KubernetesOptions;
  private readonly timing: KubernetesTiming;
  private readonly serviceAccountRoot: string;
  /** Aborted by `close`. */
  private readonly closing = new AbortController();
  private readonly running: Promise<void>[] = [];
  /** The outage before there is a reflector. */
  private readonly starting = new Outage();
  private openSession: KubernetesSession | undefined;
  private acquired: KubernetesLeases | undefined;

  constructor(options: KubernetesOptions, { timing, serviceAccountRoot }: Surroundings = {}) {
    this.options = options;
    this.timing = { ...KUBERNETES_TIMING, ...timing };
    this.serviceAccountRoot = serviceAccountRoot ?? '';
  }

  get notReady(): string | null {
    return this.openSession?.reflector.notReady ?? this.starting.notReady;
  }

  get watchRestarts(): number {
    return this.openSession?.reflector.restarts ?? 0;
  }

  get files(): readonly string[] {
    return this.openSession?.client.files ?? [];
  }

  async open(signal: AbortSignal): Promise<Cluster> {
    return await prefixErrors('Failed to create SubnetManager', () => this.connect(signal));
  }

  async preview(request: LeaseRequest, signal: AbortSignal): Promise<LeaseSets> {
    return await prefixErrors(FAILED_TO_ACQUIRE, async () => {
      const own = ownLeasesOf(await this.ownNode(signal), request, () => undefined);
      const { reflector, node } = this.session;
      return new LeaseSetBuilder(request.netConf).build(reflector.nodes, node, own);
    });
  }

  async acquire(request: LeaseRequest, signal: AbortSignal): Promise<LeaseSets> {
    return await prefixErrors(FAILED_TO_ACQUIRE, () => this.register(request, signal));
  }

  watch(listener: LeaseListener): void {
    const { session, leases } = this;
    const { signal } = this.closing;
    session.reflector.on('change', () => leases.publisher.check());
    this.running.push(
      leases.publisher.run(signal),
      deliverChanges(session, leases, listener, this.timing.collectMs, signal),
    );
  }

  async move(request: LeaseRequest): Promise<void> {
    this.leases.request = request;
    const { reflector } = this.session;
    reflector.reconnect();
    // `deliverChanges` makes this node's leases of record and request.
    reflector.emit('change');
  }

  markReady(): void {
    this.leases.publisher.markReady();
  }

  addressesOf(node: string): string[] {
    const annotations = this.openSession?.reflector.nodes.get(node)?.annotations;
    return FAMILIES.map((family) => annotations?.[FAMILY_ANNOTATIONS[family].publicIp]).filter(
      (address) => address !== undefined,
    );
  }

  async close(): Promise<void> {
    this.closing.abort();
    this.openSession?.reflector.removeAllListeners();
    await Promise.all(this.running);
  }

  private get session(): KubernetesSession {
    if (this.openSession === undefined) throw new Error('the source is not open');
    return this.openSession;
  }

  private get leases(): KubernetesLeases {
    if (this.acquired === undefined) throw new Error('this node has no lease yet');
    return this.acquired;
  }

  private async connect(signal: AbortSignal): Promise<Cluster> {
    const { options, timing } = this;
    warnOfInClusterConfig(options);
    const access = await Credentials.open(() => loadAccess(options, this.serviceAccountRoot));
    const client = new ApiClient(access, timing.answerMs);
    const node = await this.nodeName(client, signal);
    const netConf = await loadNetConf(options.netConfigPath);
    const prefix = annotationPrefix(options.annotationPrefix);
    warnOfQueueDepth();
    this.name = `Kubernetes Subnet Manager - ${node}`;
    const reflector = new NodeReflector(client, prefix, timing);
    reflector.setMaxListeners(0);
    this.openSession = { client, prefix, node, reflector, deadline: Number.POSITIVE_INFINITY };
    info('Waiting for node controller to sync');
    info('Starting kube subnet manager');
    this.running.push(reflector.run(this.closing.signal));
    await this.waitFor(() => reflector.synced, signal);
    info('Node controller sync successful');
    info(`Created subnet manager: ${this.name}`);
    this.openSession.deadline = performance.now() + timing.acquireMs;
    const own = await this.ownRecord(signal);
    const publicIps = perFamily(
      FAMILIES,
      (family) => own?.annotations[FAMILY_ANNOTATIONS[family].nodePublicIp] || undefined,
    );
    return { netConf, publicIps };
  }

  /** Returns this node's name; retries until the API server answers. */
  private async nodeName(client: ApiClient, signal: AbortSignal): Promise<string> {
    const backoff = new Backoff(this.timing.backoff);
    for (;;) {
      try {
        const name = await findNodeName(client, AbortSignal.any([signal, this.closing.signal]));
        this.starting.end('the Kubernetes API server answers');
        return name;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        this.starting.report(`waiting for the Kubernetes API server: ${error.message}`);
        const waitMs = backoff.next(error.retryAfterMs);
        await client.pause(
          error.status === undefined ? Math.min(waitMs, UNREACHABLE_MOST_MS) : waitMs,
          signal,
        );
        signal.throwIfAborted();
      }
    }
  }

  private async register(request: LeaseRequest, signal: AbortSignal): Promise<LeaseSets> {
    const { session } = this;
    const { reflector, node, prefix } = session;
    const { netConf } = request;
    const { backend } = netConf;
    const record = await this.ownNode(signal);
    const { runDir } = this.options;
    const macs = ownMacsOf(record, request, reflector.nodes, await readStoredMacs(runDir, backend));
    const own = ownLeasesOf(record, request, (family) => macs[family]);
    await storeMacs(runDir, backend, own);
    for (const family of familiesIn(own)) {
      if (backend.type !== 'vxlan') continue;
      const mac = vtepMacOf(valueIn(own, family));
      info(`Interface ${vxlanDevice(backend.vni, family)} mac address set to: ${mac}`);
    }
    logOverwrites(record, request, prefix);
    const publisher = new Publisher(session, this.options.setNodeNetworkUnavailable, this.timing);
    await publisher.publish(annotationsOf(own, netConf), AbortSignal.any([signal, this.closing.signal]));
    const builder = new LeaseSetBuilder(netConf);
    const sets = builder.build(reflector.nodes, node, own);
    this.acquired = { request, own, sets, builder, publisher };
    return sets;
  }

  /** Returns this node's record, waiting while the kubelet registers the node. @throws UserError */
  private async ownNode(signal: AbortSignal): Promise<NodeRecord> {
    const record = await this.ownRecord(signal);
    if (record !== undefined) return record;
    const { node, reflector } = this.session;
    throw new UserError(
      `timeout contacting kube-api, failed to patch node "${node}". Error: ${reflector.notReady ?? `node "${node}" not found`}; NODE_NAME must be a name that "kubectl get nodes" shows`,
    );
  }

  private async ownRecord(signal: AbortSignal): Promise<NodeRecord | undefined> {
    const { reflector, node, deadline } = this.session;
    if (!reflector.nodes.has(node)) this.starting.report(describeMissingNode(node, reflector.nodes));
    const leftMs = Math.max(0, Math.ceil(deadline - performance.now()));
    await this.waitFor(() => reflector.nodes.has(node), signal, leftMs);
    if (reflector.nodes.has(node)) this.starting.end(`node "${node}" is registered`);
    return reflector.nodes.get(node);
  }

  /** Waits until the condition is true or the time is up. @throws the signal's reason */
  private async waitFor(condition: () => boolean, signal: AbortSignal, timeoutMs?: number): Promise<void> {
    const timeout = timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)];
    const end = AbortSignal.any([signal, this.closing.signal, ...timeout]);
    while (!condition() && !end.aborted) {
      await once(this.session.reflector, 'change', { signal: end }).catch(() => undefined);
    }
    signal.throwIfAborted();
    this.closing.signal.throwIfAborted();
  }
}
