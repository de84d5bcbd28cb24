/**
 * What a node programs for its peers, as flannel's vxlan backend does: for each a permanent neighbour (subnet base →
 * VTEP MAC), a forwarding entry (VTEP MAC → public IP; it lives in Weft) and an onlink route (subnet via subnet base).
 *
 * Wanted and applied state are compared object by object, not lease by lease: a MAC that moves to another subnet, or
 * two nodes that swap, need no special case, and nothing stale can stay.
 */

import type { FdbChanges } from '../../dataplane/dataplane.js';
import { formatCidr, formatIpv4, type Ipv4 } from '../ipv4.js';
import { type Lease, vtepMacOf } from '../leases/lease.js';
import { warn } from '../log.js';
import { splitMac } from '../mac.js';
import { ipBatch } from '../network/ip.js';
import { difference } from './difference.js';

export interface PeerState {
  /** Subnet base → VTEP MAC. */
  neighbours: Map<string, string>;
  /** VTEP MAC → public IP. */
  fdb: Map<string, Ipv4>;
  /** Subnet → gateway, its base. */
  routes: Map<string, string>;
}

export interface FdbWriter {
  updateFdb(changes: FdbChanges): Promise<void>;
}

/** How many single failures of a batch are logged before the rest is summed up. */
const LOGGED_FAILURES = 5;

function emptyState(): PeerState {
  return { neighbours: new Map(), fdb: new Map(), routes: new Map() };
}

/** What the leases of all peers ask for. */
export function wantedState(peers: readonly Lease[]): PeerState {
  const state = emptyState();
  for (const lease of peers) {
    const { subnet, publicIp } = lease;
    const vtepMac = vtepMacOf(lease);
    const base = formatIpv4(subnet.base);
    state.neighbours.set(base, vtepMac);
    state.fdb.set(vtepMac, publicIp);
    state.routes.set(formatCidr(subnet), base);
  }
  return state;
}

/** One system change: the `ip` command, and what is true once it succeeded. */
interface Step {
  command: string;
  succeeded: () => void;
}

export class PeerReconciler {
  readonly applied: PeerState = emptyState();
  private readonly device: string;
  private readonly fdb: FdbWriter;

  private readonly signal: AbortSignal | undefined;

  constructor(device: string, fdb: FdbWriter, signal?: AbortSignal) {
    this.signal = signal;
    this.device = device;
    this.fdb = fdb;
  }

  /**
   * Brings the system to the wanted state and returns how many changes failed; calling it again tries those again.
   *
   * A new peer gets neighbour, forwarding entry, route, in this order, so that the kernel never asks for an address
   * that nobody answers; one that goes loses them the other way round. All peers go in two batches, so ten thousand
   * cost two processes.
   */
  async apply(wanted: PeerState): Promise<number> {
    const { applied, device } = this;
    const neighbours = difference(applied.neighbours, wanted.neighbours);
    const routes = difference(applied.routes, wanted.routes);
    let failed = await this.run([
      ...routes.gone.map((subnet) => ({
        command: `route delete ${subnet} dev ${device}`,
        succeeded: () => applied.routes.delete(subnet),
      })),
      ...neighbours.set.map(([base, mac]) => ({
        command: `neighbour replace ${base} lladdr ${mac} dev ${device} nud permanent`,
        succeeded: () => applied.neighbours.set(base, mac),
      })),
    ]);
    await this.applyFdb(wanted.fdb);
    failed += await this.run([
      ...routes.set
        .filter(([, base]) => applied.neighbours.has(base))
        .map(([subnet, base]) => ({
          command: `route replace ${subnet} via ${base} dev ${device} onlink`,
          succeeded: () => applied.routes.set(subnet, base),
        })),
      ...neighbours.gone.map((base) => ({
        command: `neighbour delete ${base} dev ${device}`,
        succeeded: () => applied.neighbours.delete(base),
      })),
    ]);
    return failed;
  }

  /** The kernel flushes a device's neighbours, permanent ones too, when its MAC changes (neigh_changeaddr). */
  forgetNeighbours(): void {
    this.applied.neighbours.clear();
  }

  private async applyFdb(wanted: ReadonlyMap<string, Ipv4>): Promise<void> {
    const { applied } = this;
    const { gone, set } = difference(applied.fdb, wanted);
    if (gone.length === 0 && set.length === 0) return;
    await this.fdb.updateFdb({
      remove: gone.map(splitMac),
      set: set.map(([mac, address]) => ({ ...splitMac(mac), address: address | 0 })),
    });
    for (const mac of gone) applied.fdb.delete(mac);
    for (const [mac, address] of set) applied.fdb.set(mac, address);
  }

  private async run(steps: readonly Step[]): Promise<number> {
    const failures = await ipBatch(
      steps.map(({ command }) => command),
      this.signal,
    );
    const failed = new Map(failures.map(({ index, reason }) => [index, reason]));
    let logged = 0;
    steps.forEach(({ command, succeeded }, index) => {
      const reason = failed.get(index);
      // What was to go and is not there is gone: someone else removed it.
      if (reason === undefined || (command.includes(' delete ') && isGone(reason))) {
        failed.delete(index);
        succeeded();
      } else if (++logged <= LOGGED_FAILURES) {
        warn(`ip ${command}: ${reason}`);
      }
    });
    if (failed.size > LOGGED_FAILURES)
      warn(`... and ${failed.size - LOGGED_FAILURES} more of ${steps.length} failed`);
    return failed.size;
  }
}

/** ESRCH and ENOENT, as rtnetlink answers for a route or neighbour that does not exist. */
function isGone(reason: string): boolean {
  return /No such (process|file or directory)/.test(reason);
}
