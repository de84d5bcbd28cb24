/** The underlay address to which the sockets of a tunnel are bound. */

import type { Dataplane } from '../../dataplane/dataplane.js';
import { formatIp, type Ip } from '../addresses/ip.js';
import type { Lease } from '../leases/lease.js';
import { rebindSockets } from '../open-dataplane.js';
import { boundAddress, type FamilyPlan } from '../plan.js';
import { info, warn } from '../support/log.js';
import { UserError } from '../support/user-error.js';

export class TunnelAddress {
  bound: Ip;
  /** Why the sockets cannot be bound to the present address; null if they are. */
  unbound: string | null = null;

  constructor(plan: FamilyPlan, own: Lease) {
    this.bound = boundAddress(plan, own);
  }

  /** Binds the sockets to the present address. A failure is logged; the next call tries again. */
  follow(dataplane: Dataplane, plan: FamilyPlan, own: Lease): void {
    const address = boundAddress(plan, own);
    if (address === this.bound) {
      this.unbound = null;
      return;
    }
    try {
      rebindSockets(dataplane, plan, own);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      if (error.message !== this.unbound) warn(error.message);
      this.unbound = error.message;
      return;
    }
    this.unbound = null;
    info(`the sockets of ${plan.backend.device} moved from ${formatIp(this.bound)} to ${formatIp(address)}`);
    this.bound = address;
  }
}
