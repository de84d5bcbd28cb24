/** The steps of the start that need the underlay. They wait, and begin again if it disappears meanwhile. */

import { setTimeout as delay } from 'node:timers/promises';
import type { Link } from './kernel/links.js';
import type { LeaseSet } from './leases/lease.js';
import type { Cluster } from './leases/source.js';
import { FamilyTunnel, type TunnelContext } from './node/family-tunnel.js';
import { refuseTakenPort } from './open-dataplane.js';
import type { RunOptions } from './options.js';
import { type FamilyPlan, makePlan, type Plan, type Predecessors, replan } from './plan.js';
import { UnderlayMissing } from './underlay/rules.js';
import type { UnderlayTracker } from './underlay/tracker.js';

/** Pause before a step is repeated. */
const RETRY_MS = 500;

/**
 * Makes the plan on a present underlay, and again if the address disappears meanwhile. `links`: those of this machine, if they
 * have been read already. @throws UserError
 */
export async function planPresent(
  options: RunOptions,
  cluster: Cluster,
  tracker: UnderlayTracker,
  before: Predecessors,
  signal: AbortSignal,
  links?: Promise<Link[]>,
): Promise<Plan> {
  let first = links;
  return await untilPresent(signal, async () => {
    const underlay = await tracker.wait(signal, first);
    first = undefined;
    const plan = await makePlan(options, cluster, underlay, before);
    // Before the lease is published: no peer may send to a node that cannot listen.
    for (const family of plan.families) refuseTakenPort(family, plan.links, family.address);
    return plan;
  });
}

/** Opens a tunnel on the present underlay, which may have changed since the plan. @throws UserError */
export async function openTunnel(
  plan: FamilyPlan,
  set: LeaseSet,
  context: TunnelContext,
  tracker: UnderlayTracker,
  signal: AbortSignal,
): Promise<FamilyTunnel> {
  let present = plan;
  return await untilPresent(signal, async () => {
    try {
      return new FamilyTunnel(present, set, context);
    } catch (error) {
      const state = (await tracker.observe()).get(plan.family);
      if (state?.name === 'present') present = replan(plan, state);
      throw error;
    }
  });
}

/** Repeats a step of the start that fails because the underlay is missing. @throws UserError; the signal's reason */
async function untilPresent<T>(signal: AbortSignal, step: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof UnderlayMissing)) throw error;
      await delay(RETRY_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}
