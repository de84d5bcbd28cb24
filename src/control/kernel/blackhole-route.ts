/**
 * The blackhole route for this node's pod subnet (--ip-blackhole-route): where each pod has a route of its own, as with
 * Canal, packets to pods that do not exist end here and do not go round between node and network.
 */

import { type Cidr, formatCidr } from '../addresses/cidr.js';
import { familyOf } from '../addresses/ip.js';
import { deleteRoutes, ipBatch } from './ip.js';
import type { Change } from './monitor.js';

export class BlackholeRoute {
  private held: string | undefined;

  /** The route as `ip route` takes it; none before `hold`. */
  get routes(): string[] {
    return this.held === undefined ? [] : [this.held];
  }

  /** True when a change may be of it. */
  concerns({ kind, text }: Change): boolean {
    return (
      kind === 'ROUTE' && this.held !== undefined && text.includes(this.held.split(' dev ')[0] as string)
    );
  }

  /**
   * Sees to it that the route is there, and tells whether it was not. One to the same subnet that someone else has set, as
   * a bridge's, does as well.
   */
  async hold(subnet: Cidr): Promise<boolean> {
    // IPv6 has it on lo, and without its name a later deletion may take the bridge's route to the same subnet.
    const wanted = `blackhole ${formatCidr(subnet)}${familyOf(subnet.base) === 'ipv6' ? ' dev lo' : ''}`;
    if (this.held !== wanted) await this.release();
    this.held = wanted;
    const failures = await ipBatch([`route add ${wanted}`]);
    return failures.length === 0;
  }

  private async release(): Promise<void> {
    await deleteRoutes(this.routes);
    this.held = undefined;
  }
}
