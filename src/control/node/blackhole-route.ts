/**
 * The blackhole route for this node's pod subnet (--ip-blackhole-route). Where each pod has a route of its own, as with
 * Canal, it drops packets to pods that do not exist. Without it they loop between node and network.
 */

import { type Cidr, formatCidr } from '../addresses/cidr.js';
import { familyOf } from '../addresses/ip.js';
import type { Journal } from '../journal.js';
import { deleteRoutes, ipBatch } from '../kernel/ip.js';
import type { Route } from '../kernel/snapshot.js';

export class BlackholeRoute {
  private readonly journal: Journal;
  /** The owner of the route in the journal. */
  private readonly owner: string;
  /** The route that was added last. */
  private added: string | undefined;

  /** `device` is the tunnel's device: each family has a route of its own. */
  constructor(journal: Journal, device: string) {
    this.journal = journal;
    this.owner = `blackhole ${device}`;
  }

  /**
   * Adds the route to this subnet and returns true; returns false if the kernel has an equal one. The route to an earlier
   * subnet is deleted first. @throws UserError without `ip`
   */
  async add(subnet: Cidr): Promise<boolean> {
    const route = routeTo(subnet);
    if (this.added !== undefined && this.added !== route) await deleteRoutes([this.added]);
    this.added = route;
    await this.journal.setRoutes(this.owner, [route]);
    const failures = await ipBatch([`route add ${route}`]);
    return failures.length === 0;
  }

  /** Adds the route if the kernel has none, and returns true if it did. An IPv4 route of a bridge counts as well. */
  async repair(subnet: Cidr, routes: readonly Route[]): Promise<boolean> {
    const destination = formatCidr(subnet);
    const present = routes.some(
      ({ dst, type }) => dst === destination && (type === 'blackhole' || familyOf(subnet.base) === 'ipv4'),
    );
    return !present && (await this.add(subnet));
  }
}

/**
 * Returns the route in the form of `ip route`. An IPv6 blackhole route is on lo. With `dev lo` a deletion cannot remove
 * a bridge's route to the same subnet.
 */
function routeTo(subnet: Cidr): string {
  return `blackhole ${formatCidr(subnet)}${familyOf(subnet.base) === 'ipv6' ? ' dev lo' : ''}`;
}
