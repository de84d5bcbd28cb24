/**
 * Reconciles the peers of the vxlan backend. Like flannel, a peer has a permanent neighbour (subnet base → VTEP MAC), an FDB
 * entry (VTEP MAC → public IP; in the dataplane) and an onlink route (subnet via subnet base). With DirectRouting a peer on
 * the same network has a plain route (subnet via public IP) instead of neighbour and onlink route.
 *
 * Desired and applied state are compared object by object, not lease by lease. So a MAC that moves to another subnet, or two
 * nodes that swap their MACs, need no special case, and no stale object stays.
 */

import type { Dataplane } from '../../../dataplane/dataplane.js';
import type { Family } from '../../addresses/family.js';
import { familyOf, formatIp, type Ip, toUnderlay } from '../../addresses/ip.js';
import { splitMac } from '../../addresses/mac.js';
import { directlyReachable } from '../../kernel/direct-routes.js';
import { CHUNK, ipBatch } from '../../kernel/ip.js';
import type { KernelSnapshot } from '../../kernel/snapshot.js';
import { removeStaleRoutes } from '../../kernel/stale-routes.js';
import { type Lease, vtepMacOf } from '../../leases/lease.js';
import { error, warn } from '../../support/log.js';
import type { PeerOptions, PeerReconciler, PeerStatus, RepairResult } from '../backend.js';
import { difference } from '../difference.js';
import { displacedRoutes } from './displaced-routes.js';
import {
  desiredState,
  emptyState,
  gatewayOf,
  type PeerState,
  presentState,
  routesOutsideDevice,
  textsOf,
  usesDevice,
} from './peer-state.js';

export interface VxlanPeerOptions extends PeerOptions {
  directRouting: boolean;
  /** Whether unexpected neighbours and routes stay. An operator may have set them for VTEPs without a lease. */
  learning: boolean;
}

/** Number of failures of a batch that are logged one by one; of the others only the number is logged. */
const LOGGED_FAILURES = 5;
/**
 * Grace period before an unexpected neighbour or route is removed, so that an operator's two-command change is not undone
 * half-way.
 */
const UNEXPECTED_MS = 1000;

/** One change of the kernel: the `ip` command, flannel's text for its failure, and what success makes true. */
interface Step {
  command: string;
  failure: string;
  succeeded: () => void;
}

export class VxlanPeers implements PeerReconciler {
  /** What this reconciler set and, after a repair, what the kernel reports. */
  readonly applied: PeerState = emptyState();
  private readonly dataplane: Pick<Dataplane, 'updateFdb'>;
  private readonly options: VxlanPeerOptions;
  private readonly family: Family;
  /**
   * Neighbours and routes on the device that no lease requires, and when a check first saw them (performance.now()).
   */
  private unexpected = new Map<string, number>();
  /** Subnets whose first route belongs to another program. */
  private shadowed: ReadonlySet<string> = new Set();
  /** The set of peers whose desired state was computed last: checks and status often want the same one. */
  private last: { peers: readonly Lease[]; state: PeerState } = { peers: [], state: emptyState() };
  /** Subnets to which this reconciler has added a route. */
  private readonly routed = new Set<string>();

  constructor(dataplane: Pick<Dataplane, 'updateFdb'>, options: VxlanPeerOptions) {
    this.dataplane = dataplane;
    this.options = options;
    this.family = familyOf(options.network.base);
  }

  async removeStale(own: Lease, peers: readonly Lease[]): Promise<void> {
    const leased = peers.map(({ subnet }) => subnet);
    await removeStaleRoutes(this.options, own.subnet, leased);
  }

  async serve(peers: readonly Lease[]): Promise<void> {
    // Direct peers have the same FDB entries.
    await this.applyFdb(desiredState(this.options.device, peers).fdb);
  }

  async adopt(peers: readonly Lease[], snapshot: KernelSnapshot): Promise<void> {
    const desired = await this.desired(peers);
    // Routes outside the device count as applied if the kernel has them in the desired form.
    this.applied.routes = new Map(desired.routes);
    this.observe(desired, snapshot, 0);
    for (const subnet of this.applied.routes.keys()) this.routed.add(subnet);
  }

  async apply(peers: readonly Lease[]): Promise<number> {
    return await this.applyState(await this.desired(peers));
  }

  ownsRoute(destination: string): boolean {
    return this.applied.routes.has(destination);
  }

  /** The kernel flushes a device's neighbours, permanent ones too, when its MAC changes (neigh_changeaddr). */
  forgetNeighbours(): void {
    this.applied.neighbours.clear();
  }

  async repair(peers: readonly Lease[], snapshot: KernelSnapshot): Promise<RepairResult> {
    const desired = await this.desired(peers);
    this.observe(desired, snapshot);
    await ipBatch(
      displacedRoutes(this.options.device, this.routed, desired.routes, snapshot),
      this.options.signal,
    );
    const before = this.drift(desired);
    if (before.neighbours + before.routes === 0) return { repairs: {}, failed: 0 };
    const failed = await this.applyState(desired);
    const after = this.drift(desired);
    const neighbour = before.neighbours - after.neighbours;
    const route = before.routes - after.routes;
    return { repairs: { ...(neighbour > 0 && { neighbour }), ...(route > 0 && { route }) }, failed };
  }

  async status(peers: readonly Lease[], snapshot: KernelSnapshot | undefined): Promise<PeerStatus[]> {
    const desired = await this.desired(peers);
    const { neighbours, routes } =
      snapshot === undefined ? this.applied : presentState(snapshot, this.options.device);
    return peers.map((lease) => {
      const { base, subnet } = textsOf(lease);
      const vtepMAC = vtepMacOf(lease);
      const direct = !desired.neighbours.has(base);
      return {
        subnet,
        publicIP: formatIp(lease.publicIp),
        vtepMAC,
        neighbour: neighbours.get(base) === desired.neighbours.get(base),
        fdb: this.applied.fdb.get(vtepMAC) === lease.publicIp,
        route: routes.get(subnet) === desired.routes.get(subnet),
        ...(direct && { direct: true as const }),
      };
    });
  }

  private async desired(peers: readonly Lease[]): Promise<PeerState> {
    const { device, directRouting } = this.options;
    if (!directRouting) {
      if (this.last.peers !== peers) this.last = { peers, state: desiredState(device, peers) };
      return this.last.state;
    }
    const { direct } = await directlyReachable(peers.map(({ publicIp }) => publicIp));
    return desiredState(device, peers, direct);
  }

  /**
   * Applies the difference to the desired state and returns the number of failed changes. Another call retries them.
   *
   * A new peer gets its neighbour, then its FDB entry, then its route: so the kernel never resolves an address that no
   * peer answers for. A removed peer loses them in reverse. All peers share two batches, so ten thousand peers cost two
   * processes.
   */
  private async applyState(desired: PeerState): Promise<number> {
    const { applied } = this;
    const { device, journal } = this.options;
    const [v6, V6] = this.family === 'ipv6' ? ['v6 ', 'V6'] : ['', ''];
    const neighbours = difference(applied.neighbours, desired.neighbours);
    const routes = difference(applied.routes, desired.routes);
    const outside = routesOutsideDevice(desired, device);
    // The journal gets the routes before they exist. After a kill the next start finds and removes them.
    await journal.setRoutes(device, [...new Set([...outside, ...routesOutsideDevice(applied, device)])]);
    let failed = await this.run([
      ...routes.gone.map((subnet) => {
        const routeSpec = applied.routes.get(subnet) ?? '';
        return {
          command: `route delete ${subnet} ${routeSpec.replace(' onlink', '')}`,
          failure: `failed to delete ${v6}vxlanRoute (${subnet} -> ${gatewayOf(routeSpec)})`,
          succeeded: () => applied.routes.delete(subnet),
        };
      }),
      ...neighbours.set.map(([base, mac]) => ({
        command: `neighbour replace ${base} lladdr ${mac} dev ${device} nud permanent`,
        failure: `Add${V6}ARP failed`,
        succeeded: () => applied.neighbours.set(base, mac),
      })),
    ]);
    await this.applyFdb(desired.fdb);
    failed += await this.run([
      ...routes.set
        .filter(
          ([, routeSpec]) => !usesDevice(routeSpec, device) || applied.neighbours.has(gatewayOf(routeSpec)),
        )
        .flatMap(([subnet, routeSpec]) => [
          ...this.makeRoomFor(subnet),
          {
            command: `route replace ${subnet} ${routeSpec}`,
            failure: `failed to add ${v6}vxlanRoute (${subnet} -> ${gatewayOf(routeSpec)})`,
            succeeded: () => {
              applied.routes.set(subnet, routeSpec);
              this.routed.add(subnet);
            },
          },
        ]),
      ...neighbours.gone.map((base) => ({
        command: `neighbour delete ${base} dev ${device}`,
        failure: `Del${V6}ARP failed`,
        succeeded: () => applied.neighbours.delete(base),
      })),
    ]);
    await journal.setRoutes(device, routesOutsideDevice(applied, device));
    return failed;
  }

  /** Replaces `applied` by the kernel's state: our entries, plus unexpected ones that a check saw `graceMs` ago. */
  private observe(desired: PeerState, snapshot: KernelSnapshot, graceMs = UNEXPECTED_MS): void {
    const { applied } = this;
    const { device, learning } = this.options;
    const { neighbours, routes } = presentState(snapshot, device);
    const now = performance.now();
    const unexpected = new Map<string, number>();
    const counts = (key: string, kind: 'neighbours' | 'routes'): boolean => {
      if (desired[kind].has(key) || applied[kind].has(key)) return true;
      if (learning) return false;
      const since = this.unexpected.get(key) ?? now;
      unexpected.set(key, since);
      return now - since >= graceMs;
    };
    const shadowed = new Set<string>();
    desired.routes.forEach((routeSpec, subnet) => {
      if ((routes.get(subnet) ?? routeSpec) !== routeSpec) shadowed.add(subnet);
    });
    // What is left of the snapshot's own maps: thousands of entries are not copied.
    neighbours.forEach((_, base) => {
      if (!counts(base, 'neighbours')) neighbours.delete(base);
    });
    routes.forEach((routeSpec, subnet) => {
      const isOurs = usesDevice(routeSpec, device) && counts(subnet, 'routes');
      if (!isOurs && applied.routes.get(subnet) !== routeSpec) routes.delete(subnet);
    });
    this.shadowed = shadowed;
    applied.neighbours = neighbours;
    applied.routes = routes;
    this.unexpected = unexpected;
  }

  /** Returns how many neighbours and routes differ from the desired state. */
  private drift(desired: PeerState): { neighbours: number; routes: number } {
    const count = (kind: 'neighbours' | 'routes'): number => {
      const { gone, set } = difference(this.applied[kind], desired[kind]);
      return gone.length + set.length;
    };
    return { neighbours: count('neighbours'), routes: count('routes') };
  }

  /**
   * Returns the step that deletes the old route first. IPv6: the kernel refuses a gateway that another route reaches
   * through another device, onlink or not (net/ipv6/route.c, ip6_route_check_nh_onlink); the shadowing route itself is
   * such a route. IPv4: `replace` does not touch a route behind the first one (net/ipv4/fib_trie.c, fib_table_insert).
   */
  private makeRoomFor(subnet: string): Step[] {
    if (this.family === 'ipv4' && !this.shadowed.has(subnet)) return [];
    return [
      {
        command: `route delete ${subnet}`,
        failure: `failed to delete the existing route to ${subnet}`,
        succeeded: () => {},
      },
    ];
  }

  private async applyFdb(desired: ReadonlyMap<string, Ip>): Promise<void> {
    const { applied } = this;
    const { gone, set } = difference(applied.fdb, desired);
    if (gone.length === 0 && set.length === 0) return;
    await this.dataplane.updateFdb({
      remove: gone.map(splitMac),
      set: set.map(([mac, address]) => ({ ...splitMac(mac), address: toUnderlay(address) })),
    });
    for (const mac of gone) applied.fdb.delete(mac);
    for (const [mac, address] of set) applied.fdb.set(mac, address);
  }

  /** Runs the steps in order and returns how many failed. What is done counts as applied while the rest runs. */
  private async run(steps: readonly Step[]): Promise<number> {
    let failed = 0;
    for (let start = 0; start < steps.length; start += CHUNK) {
      for (const { command, failure, reason } of await this.runChunk(steps.slice(start, start + CHUNK))) {
        if (++failed <= LOGGED_FAILURES) error(`${failure}: ${reason} (ip ${command})`);
      }
    }
    if (failed > LOGGED_FAILURES) warn(`... and ${failed - LOGGED_FAILURES} more of ${steps.length} failed`);
    return failed;
  }

  /** Runs the steps of one process and returns those that failed. */
  private async runChunk(steps: readonly Step[]): Promise<(Step & { reason: string })[]> {
    const failures = await ipBatch(
      steps.map(({ command }) => command),
      this.options.signal,
    );
    const reasons = new Map(failures.map(({ index, reason }) => [index, reason]));
    return steps.flatMap((step, index) => {
      const reason = reasons.get(index);
      // An object that another program removed needs no deletion.
      if (reason !== undefined && !(step.command.includes(' delete ') && isMissing(reason)))
        return [{ ...step, reason }];
      step.succeeded();
      return [];
    });
  }
}

/** Returns whether rtnetlink answered that the route (ESRCH) or neighbour (ENOENT) does not exist. */
function isMissing(reason: string): boolean {
  return /No such (process|file or directory)/.test(reason);
}
