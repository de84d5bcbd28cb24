/** The overlay device of a tunnel: configured for this node's lease and the backend, and repaired. */

import type { Ip } from '../addresses/ip.js';
import {
  configureDevice,
  type DeviceState,
  reconfigureDevice,
  repairDevice,
  setMtu,
  threadNapi,
} from '../kernel/device.js';
import { gatewaysOf, removeDiversions } from '../kernel/diverts.js';
import { readLinks } from '../kernel/links.js';
import { type Repairs, sumRepairs } from '../kernel/repairs.js';
import type { KernelSnapshot } from '../kernel/snapshot.js';
import { Sysctls } from '../kernel/sysctls.js';
import type { Lease } from '../leases/lease.js';
import type { FamilyPlan } from '../plan.js';

export class OverlayDevice {
  /**
   * The interface index; undefined while no device has been found. It distinguishes our device from another one of its
   * name.
   */
  index: number | undefined;
  /** Replaced when the underlay changes. */
  plan: FamilyPlan;
  readonly sysctls: Sysctls;

  constructor(plan: FamilyPlan) {
    this.plan = plan;
    this.sysctls = new Sysctls(plan.backend.sysctls);
  }

  /** Looks up the index of the device that a dataplane has just created. */
  async findIndex(): Promise<void> {
    this.index = (await readLinks()).find(({ name }) => name === this.plan.backend.device)?.index;
  }

  /** Configures the new device. @throws DeviceGone; UserError naming the command that failed */
  async configure(own: Lease): Promise<void> {
    this.sysctls.initialize();
    this.index = await configureDevice(this.stateFor(own));
  }

  /**
   * Gives a device that an earlier run left the desired state, and leaves what is right. @throws DeviceGone; UserError naming
   * the command that failed
   */
  async attach(own: Lease, snapshot: KernelSnapshot, underlay: readonly Ip[]): Promise<void> {
    this.sysctls.initialize();
    await this.repair(own, snapshot, underlay);
    const { name, mac } = this.stateFor(own);
    if (this.index !== undefined) await threadNapi(name, this.index, mac);
  }

  /** Gives the device the MTU of the plan. @throws DeviceGone; UserError naming the command that failed */
  async followMtu(): Promise<void> {
    await setMtu(this.plan.backend.device, this.plan.mtu);
  }

  /** Applies a change of this node's lease. @throws DeviceGone; UserError naming the command that failed */
  async reconfigure(before: Lease, after: Lease): Promise<void> {
    await reconfigureDevice(this.stateFor(before), this.stateFor(after));
  }

  /**
   * Repairs what differs from the desired state. `underlay` has the addresses that no address and no route of the device
   * may divert: this node's own and the peers'. @throws DeviceGone; UserError naming the command that failed
   */
  async repair(own: Lease, snapshot: KernelSnapshot, underlay: readonly Ip[]): Promise<Repairs> {
    const { family, backend, network } = this.plan;
    const { device, devices } = backend;
    const guarded = [own.publicIp, ...underlay, ...gatewaysOf(snapshot.routes, devices)];
    // Before the device: without IPv6 it accepts no IPv6 address. After it: below an MTU of 1280 it has no IPv6 sysctls.
    const before = this.sysctls.repair();
    const repairs = await repairDevice(this.stateFor(own), this.index, network, snapshot.links, guarded);
    const others = await removeDiversions({ family, device, devices, network }, snapshot, guarded);
    const sysctl = before + this.sysctls.repair();
    return sumRepairs(repairs, others, sysctl > 0 ? { sysctl } : {});
  }

  private stateFor(own: Lease): DeviceState {
    const { backend, mtu } = this.plan;
    return { name: backend.device, mac: own.vtepMac, mtu, subnet: own.subnet };
  }
}
