/** The dataplane of a node for as long as the node runs: made anew when its device is deleted, its counters go on. */

import { Dataplane, type DataplaneEvents, RungUnavailable } from '../../dataplane/dataplane.js';
import { SystemError } from '../../sys/system-error.js';
import { toUnderlay } from '../addresses/ip.js';
import type { Link } from '../kernel/links.js';
import type { Lease } from '../leases/lease.js';
import type { RunOptions } from '../options.js';
import { boundAddress, explain, type StackPlan } from '../plan.js';
import { UserError } from '../support/user-error.js';

export class Tunnel {
  dataplane: Dataplane;
  private readonly plan: StackPlan;
  private readonly links: readonly Link[];
  private readonly options: RunOptions;
  /** Counters of the dataplanes before this one. */
  private past: Record<string, number> = {};

  /** Opens device and socket. @throws UserError; then nothing is left behind */
  constructor(plan: StackPlan, links: readonly Link[], options: RunOptions, own: Lease) {
    this.plan = plan;
    this.links = links;
    this.options = options;
    this.dataplane = this.open(own);
  }

  /** Starts forwarding. */
  start(events: DataplaneEvents): Promise<void> {
    return this.dataplane.start(events);
  }

  /** Stops what is left of a dataplane whose device is gone; its counters stay. */
  async close(): Promise<void> {
    const past = this.counters();
    await this.dataplane.stop();
    this.past = past;
  }

  /** Opens another in its place. @throws UserError */
  async reopen(own: Lease): Promise<void> {
    await this.close();
    this.dataplane = this.open(own);
  }

  /** All counters since the start. */
  counters(): Record<string, number> {
    const counters = Object.entries(this.dataplane.counters());
    return Object.fromEntries(counters.map(([name, value]) => [name, value + (this.past[name] ?? 0)]));
  }

  stop(): Promise<void> {
    return this.dataplane.stop();
  }

  private open(own: Lease): Dataplane {
    const { plan, options } = this;
    const { backend, mtu, podMtu, peerCheck } = plan;
    const address = boundAddress(plan, own);
    try {
      return new Dataplane({
        device: backend.device,
        address: toUnderlay(address),
        port: backend.conf.port,
        workers: options.workers,
        offload: options.offload,
        busyPoll: options.busyPoll,
        mtu,
        podMtu,
        tunnel: backend.tunnel(own, peerCheck),
      });
    } catch (error) {
      if (error instanceof RungUnavailable)
        throw new UserError(`--offload ${options.offload}: ${error.message}; use --offload auto`);
      throw error instanceof SystemError ? explain(error, plan, this.links, address) : error;
    }
  }
}
