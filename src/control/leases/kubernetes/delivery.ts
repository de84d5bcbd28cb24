/** Delivers the leases of the cluster to the listener after each change of a node. */

import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { formatCidr } from '../../addresses/cidr.js';
import { valuesOf } from '../../addresses/family.js';
import { formatIp } from '../../addresses/ip.js';
import { info } from '../../support/log.js';
import { Once } from '../../support/once.js';
import { Pace } from '../../support/pace.js';
import type { LeaseSets, NodeLeases } from '../lease.js';
import type { LeaseListener, LeaseRequest } from '../source.js';
import { annotationsOf } from './annotations.js';
import type { LeaseSetBuilder } from './lease-sets.js';
import { logOverwrites, ownLeasesOf } from './own-leases.js';
import type { Publisher } from './publisher.js';
import type { KubernetesSession } from './session.js';

/** This node's leases, as last delivered. */
export interface KubernetesLeases {
  request: LeaseRequest;
  own: NodeLeases;
  sets: LeaseSets;
  builder: LeaseSetBuilder;
  publisher: Publisher;
}

/** Delivers until the signal is aborted; changes during a delivery lead to one more. */
export async function deliverChanges(
  session: KubernetesSession,
  leases: KubernetesLeases,
  listener: LeaseListener,
  collectMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { reflector, node } = session;
  const refusal = new Once();
  const pace = new Pace();
  let changed = true;
  reflector.on('change', () => {
    changed = true;
  });
  while (!signal.aborted) {
    if (!changed) {
      await once(reflector, 'change', { signal }).catch(() => undefined);
      await delay(collectMs, undefined, { signal }).catch(() => undefined);
      continue;
    }
    await pace.wait(signal);
    changed = false;
    await pace.run(async () => {
      updateOwn(session, leases, listener, refusal);
      const sets = leases.builder.build(reflector.nodes, node, leases.own);
      if (isDeepStrictEqual(sets, leases.sets)) return;
      try {
        await listener.onLeases(sets);
        leases.sets = sets;
      } catch (error) {
        listener.onRefused(error as Error);
      }
    });
  }
}

/** Updates this node's leases; keeps the last ones while its Node object is missing or invalid. */
function updateOwn(
  { reflector, node, prefix }: KubernetesSession,
  leases: KubernetesLeases,
  listener: LeaseListener,
  refusal: Once,
): void {
  const { request, own: before, publisher } = leases;
  const record = reflector.nodes.get(node);
  if (record === undefined) return;
  try {
    const own = ownLeasesOf(record, request, (family) => before[family]?.vtepMac);
    refusal.clear();
    if (isDeepStrictEqual(own, before)) return;
    logOverwrites(record, request, prefix);
    info(`the lease of this node has changed from ${describe(before)} to ${describe(own)}`);
    publisher.update(annotationsOf(own, request.netConf));
    leases.own = own;
  } catch (error) {
    refusal.log((error as Error).message, () => listener.onRefused(error as Error));
  }
}

/** Formats `10.244.1.0/24 at 192.168.77.1` for each family. */
function describe(leases: NodeLeases): string {
  return valuesOf(leases)
    .map(({ subnet, publicIp }) => `${formatCidr(subnet)} at ${formatIp(publicIp)}`)
    .join(' and ');
}
