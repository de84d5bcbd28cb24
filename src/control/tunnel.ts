/** The dataplane of a node for as long as the node runs: made anew when its device is deleted, its counters go on. */

import { Dataplane, type DataplaneEvents, RungUnavailable } from '../dataplane/dataplane.js';
import { SystemError } from '../dataplane/sys/system-error.js';
import type { Lease } from './leases/lease.js';
import type { RunOptions } from './options.js';
import { boundAddress, explain, type Plan } from './plan.js';
import { UserError } from './user-error.js';

export class Tunnel {
  dataplane: Dataplane;
  private readonly plan: Plan;
  private readonly options: RunOptions;
  /** Counters of the dataplanes before this one. */
  private past: Record<string, number> = {};

  /** Opens device and socket. @throws UserError; then nothing is left behind */
  constructor(plan: Plan, options: RunOptions, own: Lease) {
    this.plan = plan;
    this.options = options;
    this.dataplane = open(plan, options, own);
  }

  /** Starts forwarding. */
  start(events: DataplaneEvents): Promise<void> {
    return this.dataplane.start(events);
  }

  /** Stops what is left of a dataplane whose device is gone, and opens another. @throws UserError */
  async reopen(own: Lease): Promise<void> {
    this.past = this.counters();
    await this.dataplane.stop();
    this.dataplane = open(this.plan, this.options, own);
  }

  /** All counters since the start. */
  counters(): Record<string, number> {
    const counters = Object.entries(this.dataplane.counters());
    return Object.fromEntries(counters.map(([name, value]) => [name, value + (this.past[name] ?? 0)]));
  }

  stop(): Promise<void> {
    return this.dataplane.stop();
  }
}

function open(plan: Plan, options: RunOptions, own: Lease): Dataplane {
  const { backend, mtu, peerCheck } = plan;
  const address = boundAddress(plan, own);
  try {
    return new Dataplane({
      device: backend.device,
      address: address | 0,
      port: backend.conf.port,
      workers: options.workers,
      offload: options.offload,
      busyPoll: options.busyPoll,
      mtu,
      tunnel: backend.tunnel(own, peerCheck),
    });
  } catch (error) {
    if (error instanceof RungUnavailable)
      throw new UserError(`--offload ${options.offload}: ${error.message}; use --offload auto`);
    throw error instanceof SystemError ? explain(error, plan, address) : error;
  }
}
