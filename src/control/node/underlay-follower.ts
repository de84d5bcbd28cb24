/**
 * Follows the underlay while Weft runs. The tunnels get each change of interface, MTU and address; the lease source
 * publishes a new address; subnet.env gets a new MTU.
 */

import { isDeepStrictEqual } from 'node:util';
import { formatIp, type Ip } from '../addresses/ip.js';
import type { NetConf } from '../config/net-conf.js';
import type { LeaseSource } from '../leases/source.js';
import { type FamilyPlan, leaseRequest, lowestMtu, replan } from '../plan.js';
import { info } from '../support/log.js';
import { OncePerKey } from '../support/once.js';
import { UserError } from '../support/user-error.js';
import type { PresentUnderlay, UnderlayTracker } from '../underlay/tracker.js';
import type { FamilyTunnel } from './family-tunnel.js';

export interface FollowerParts {
  tracker: UnderlayTracker;
  netConf: NetConf;
  tunnels: readonly FamilyTunnel[];
  /** The public IPs that the source has published, in the order of the tunnels. */
  published: readonly Ip[];
  source: Pick<LeaseSource, 'move'>;
  /** The MTU of the pods has changed. @throws UserError if subnet.env cannot be written */
  onPodMtu(): Promise<void>;
  /** The source has no lease with the new address. */
  onRefused(error: Error): void;
}

export class UnderlayFollower {
  readonly parts: FollowerParts;
  /** MTUs that a device cannot follow, by device. */
  private readonly failures = new OncePerKey();
  /** The MTU of the pods that subnet.env has. */
  private podMtu: number | undefined;
  /** The public IPs that the source was last asked to publish, in the order of the tunnels. */
  private published: readonly Ip[];

  constructor(parts: FollowerParts) {
    this.parts = parts;
    this.published = parts.published;
    this.podMtu = parts.tunnels[0]?.plan.podMtu;
  }

  /** Whether some family waits for its underlay, or for its address to be bound. */
  get waits(): boolean {
    return this.parts.tunnels.some(
      ({ underlayAbsent, address }) => (underlayAbsent ?? address.unbound) !== null,
    );
  }

  /** Applies the present state of the underlay. @throws UserError if `ip` fails, or subnet.env cannot be written */
  async follow(): Promise<void> {
    const { tracker, tunnels, onPodMtu } = this.parts;
    const before = tunnels.map(({ plan }) => plan);
    const wasMissing = tunnels.filter(({ underlayAbsent }) => underlayAbsent !== null);
    const plans = this.plansFor(await tracker.observe());
    const podMtu = lowestMtu(plans);
    const followed = plans.map((plan) => ({ ...plan, podMtu }));
    for (const [index, tunnel] of tunnels.entries()) {
      const plan = followed[index] as FamilyPlan;
      if (isDeepStrictEqual(plan, before[index])) continue;
      logChange(before[index] as FamilyPlan, plan);
      await tunnel.followUnderlay(plan);
    }
    if (podMtu !== this.podMtu) {
      await onPodMtu();
      this.podMtu = podMtu;
    }
    // After an absence the source opens new connections: those that it had may stay silent.
    const returned = wasMissing.some(({ underlayAbsent }) => underlayAbsent === null);
    if (!returned && isDeepStrictEqual(this.publicIps(), this.published)) return;
    this.published = this.publicIps();
    await this.publish();
  }

  /** Returns the plan of each tunnel; an absent underlay leaves the plan as it is. */
  private plansFor(states: Awaited<ReturnType<UnderlayTracker['observe']>>): FamilyPlan[] {
    return this.parts.tunnels.map((tunnel) => {
      const { plan } = tunnel;
      const state = states.get(plan.family);
      tunnel.underlayAbsent = state?.name === 'absent' ? state.reason : null;
      return state?.name === 'present' ? this.planFor(plan, state) : plan;
    });
  }

  private planFor(plan: FamilyPlan, state: PresentUnderlay): FamilyPlan {
    try {
      const next = replan(plan, state);
      this.failures.clear(plan.backend.device);
      return next;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.failures.log(
        plan.backend.device,
        `${error.message}; ${plan.backend.device} keeps MTU ${plan.mtu}`,
      );
      return { ...plan, address: state.address, local: state.local, link: state.link };
    }
  }

  private publicIps(): Ip[] {
    return this.parts.tunnels.map(({ plan }) => plan.address.publicIp);
  }

  private async publish(): Promise<void> {
    const { netConf, tunnels, source, onRefused } = this.parts;
    const request = leaseRequest(
      netConf,
      tunnels.map(({ plan }) => plan),
      (family) => tunnels.find(({ plan }) => plan.family === family)?.own.subnet,
    );
    try {
      await source.move(request);
    } catch (error) {
      onRefused(error as Error);
    }
  }
}

/** Logs what the tunnel of a family follows. */
function logChange(before: FamilyPlan, { backend, link, address, mtu }: FamilyPlan): void {
  if (before.link.name !== link.name || before.address.address !== address.address) {
    info(
      `the underlay of ${backend.device} is now ${formatIp(address.address)} on ${link.name}; before, it was ${formatIp(before.address.address)} on ${before.link.name}`,
    );
  }
  if (before.link.mtu !== link.mtu) {
    const follows = before.mtu === mtu ? `keeps MTU ${mtu}` : `now has MTU ${mtu}; new pods use it`;
    info(`MTU of ${link.name} changed from ${before.link.mtu} to ${link.mtu}: ${backend.device} ${follows}`);
  }
}
