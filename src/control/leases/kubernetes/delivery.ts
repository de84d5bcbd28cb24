/** Delivers the leases of the cluster to the listener after each change of a node. */

import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { formatCidr } from '../../addresses/cidr.js';
import { valuesOf } from '../../addresses/family.js';
import { formatIp } from '../../addresses/ip.js';
import { info } from '../../support/log.js';
import { Once } from '../../support/once.js';
import type { LeaseSets, NodeLeases } from '../lease.js';
import { sameLeases, sameSets } from '../same-lease.js';
import type { LeaseListener, LeaseRequest } from '../source.js';
import { annotationsOf } from './annotations.js';
import type { LeaseSetBuilder } from './lease-sets.js';
import { logOverwrites, ownLeasesOf } from './own-leases.js';
import type { Publisher } from './publisher.js';
import type { NodeReflector } from './reflector.js';

/** An open connection to the cluster. */
export interface KubernetesSession {
  /** Prefix of the annotations. */
  prefix: string;
  /** Name of this node. */
  node: string;
  reflector: NodeReflector;
}

/** This node's leases, as last delivered. */
export interface KubernetesLeases {
  request: LeaseRequest;
  own: NodeLeases;
  sets: LeaseSets;
  builder: LeaseSetBuilder;
  publisher: Publisher;
}

export class Delivery {
  private readonly session: KubernetesSession;
  private readonly leases: KubernetesLeases;
  private readonly listener: LeaseListener;
  private readonly collectMs: number;
  private readonly refusal = new Once();

  constructor(
    session: KubernetesSession,
    leases: KubernetesLeases,
    listener: LeaseListener,
    collectMs: number,
  ) {
    this.session = session;
    this.leases = leases;
    this.listener = listener;
    this.collectMs = collectMs;
  }

  /** Delivers until the signal is aborted; changes during a delivery lead to one more. */
  async run(signal: AbortSignal): Promise<void> {
    const { reflector } = this.session;
    let changed = true;
    reflector.on('change', () => {
      changed = true;
    });
    while (!signal.aborted) {
      if (changed) {
        changed = false;
        await this.deliver();
      } else {
        await once(reflector, 'change', { signal }).catch(() => undefined);
        await delay(this.collectMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  private async deliver(): Promise<void> {
    const { leases, listener, session } = this;
    leases.own = this.currentOwn();
    const sets = leases.builder.build(session.reflector.nodes, session.node, leases.own);
    if (sameSets(sets, leases.sets)) return;
    try {
      await listener.onLeases(sets);
      leases.sets = sets;
    } catch (error) {
      listener.onRefused(error as Error);
    }
  }

  /** Returns this node's current leases, or the last ones while its Node object is missing or invalid. */
  private currentOwn(): NodeLeases {
    const { request, own: before, publisher } = this.leases;
    const { reflector, node, prefix } = this.session;
    const record = reflector.nodes.get(node);
    if (record === undefined) return before;
    try {
      const own = ownLeasesOf(record, request, before);
      this.refusal.clear();
      if (sameLeases(own, before)) return before;
      logOverwrites(record, request, prefix);
      info(`the lease of this node has changed from ${describe(before)} to ${describe(own)}`);
      publisher.update(annotationsOf(own, request.netConf));
      return own;
    } catch (error) {
      this.refusal.log((error as Error).message, () => this.listener.onRefused(error as Error));
      return before;
    }
  }
}

/** Formats `10.244.1.0/24 at 192.168.77.1` for each family. */
function describe(leases: NodeLeases): string {
  return valuesOf(leases)
    .map(({ subnet, publicIp }) => `${formatCidr(subnet)} at ${formatIp(publicIp)}`)
    .join(' and ');
}
