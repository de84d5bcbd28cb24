/**
 * What a node programs for its peers, as flannel's vxlan backend does: for each a permanent neighbour (subnet base →
 * VTEP MAC), a forwarding entry (VTEP MAC → public IP; it lives in Weft) and an onlink route (subnet via subnet base). A
 * peer on the same network, where net-conf asks for DirectRouting, gets a plain route (subnet via public IP) instead.
 *
 * Wanted and applied state are compared object by object, not lease by lease: a MAC that moves to another subnet, two
 * nodes that swap, or a peer that moves to another network need no special case, and nothing stale can stay.
 */

import type { FdbChanges } from '../../../dataplane/dataplane.js';
import type { Family } from '../../addresses/family.js';
import { type Ip, toUnderlay } from '../../addresses/ip.js';
import { splitMac } from '../../addresses/mac.js';
import { ipBatch } from '../../kernel/ip.js';
import { error, warn } from '../../support/log.js';
import type { Repaired } from '../backend.js';
import { difference } from '../difference.js';
import { emptyState, gatewayOf, isThrough, type PeerState, readPeerState } from './peer-state.js';

export interface FdbWriter {
  updateFdb(changes: FdbChanges): Promise<void>;
}

/** How many single failures of a batch are logged before the rest is summed up. */
const LOGGED_FAILURES = 5;

/**
 * How long a neighbour or route that nobody asked for is let be: whoever has a reason for one notices that it goes, and is
 * not cut short in the middle of two commands.
 */
const STRANGER_MS = 1000;

/** One system change: the `ip` command, flannel's words for its failure, and what is true once it succeeded. */
interface Step {
  command: string;
  failure: string;
  succeeded: () => void;
}

export class PeerReconciler {
  readonly applied: PeerState = emptyState();
  /** What is on the device and nobody asked for, and when it was first seen (performance.now()). */
  private strangers = new Map<string, number>();
  /** Subnets whose first route is another's. */
  private usurped: ReadonlySet<string> = new Set();
  private readonly device: string;
  private readonly family: Family;
  private readonly fdb: FdbWriter;
  private readonly signal: AbortSignal | undefined;

  constructor(device: string, family: Family, fdb: FdbWriter, signal?: AbortSignal) {
    this.device = device;
    this.family = family;
    this.fdb = fdb;
    this.signal = signal;
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
    const [v6, V6] = this.family === 'ipv6' ? ['v6 ', 'V6'] : ['', ''];
    const neighbours = difference(applied.neighbours, wanted.neighbours);
    const routes = difference(applied.routes, wanted.routes);
    let failed = await this.run([
      ...routes.gone.map((subnet) => {
        const way = applied.routes.get(subnet) as string;
        return {
          command: `route delete ${subnet} ${way.replace(' onlink', '')}`,
          failure: `failed to delete ${v6}vxlanRoute (${subnet} -> ${gatewayOf(way)})`,
          succeeded: () => applied.routes.delete(subnet),
        };
      }),
      ...neighbours.set.map(([base, mac]) => ({
        command: `neighbour replace ${base} lladdr ${mac} dev ${device} nud permanent`,
        failure: `Add${V6}ARP failed`,
        succeeded: () => applied.neighbours.set(base, mac),
      })),
    ]);
    await this.applyFdb(wanted.fdb);
    failed += await this.run([
      ...routes.set
        .filter(([, way]) => !isThrough(way, device) || applied.neighbours.has(gatewayOf(way)))
        .flatMap(([subnet, way]) => [
          ...this.makeWay(subnet),
          {
            command: `route replace ${subnet} ${way}`,
            failure: `failed to add ${v6}vxlanRoute (${subnet} -> ${gatewayOf(way)})`,
            succeeded: () => applied.routes.set(subnet, way),
          },
        ]),
      ...neighbours.gone.map((base) => ({
        command: `neighbour delete ${base} dev ${device}`,
        failure: `Del${V6}ARP failed`,
        succeeded: () => applied.neighbours.delete(base),
      })),
    ]);
    return failed;
  }

  /**
   * Takes what the kernel has for what was applied: what was set or is wanted, and of what else is on the device that
   * which has been there for a while. With `foreign` such things may stay: someone has set them for VTEPs that no lease
   * lists. @throws UserError when it cannot be read
   */
  async observe(wanted: PeerState, { foreign }: { foreign: boolean }): Promise<void> {
    const { applied, device } = this;
    const { neighbours, routes } = await readPeerState(device, this.family);
    const now = performance.now();
    const seen = new Map<string, number>();
    const counts = (key: string, isOurs: boolean): boolean => {
      if (isOurs || foreign) return isOurs;
      const since = this.strangers.get(key) ?? now;
      seen.set(key, since);
      return now - since >= STRANGER_MS;
    };
    const isOurs = (key: string, those: keyof Pick<PeerState, 'neighbours' | 'routes'>): boolean =>
      wanted[those].has(key) || applied[those].has(key);
    const neighboursNow = [...neighbours].filter(([base]) => counts(base, isOurs(base, 'neighbours')));
    const routesNow = [...routes].filter(
      ([subnet, way]) =>
        (isThrough(way, device) && counts(subnet, isOurs(subnet, 'routes'))) ||
        applied.routes.get(subnet) === way,
    );
    this.usurped = new Set(
      [...wanted.routes]
        .filter(([subnet, way]) => (routes.get(subnet) ?? way) !== way)
        .map(([subnet]) => subnet),
    );
    applied.neighbours = new Map(neighboursNow);
    applied.routes = new Map(routesNow);
    this.strangers = seen;
  }

  /** Applies what is wanted in place of what was observed, and counts what was otherwise. */
  async repair(wanted: PeerState): Promise<Repaired> {
    const before = this.deviations(wanted);
    if (before.neighbours + before.routes === 0) return { repairs: {}, failed: 0 };
    const failed = await this.apply(wanted);
    const after = this.deviations(wanted);
    const neighbour = before.neighbours - after.neighbours;
    const route = before.routes - after.routes;
    return { repairs: { ...(neighbour > 0 && { neighbour }), ...(route > 0 && { route }) }, failed };
  }

  /** How many neighbours and routes are not as wanted. */
  private deviations(wanted: PeerState): { neighbours: number; routes: number } {
    const count = (applied: Map<string, string>, those: Map<string, string>): number => {
      const { gone, set } = difference(applied, those);
      return gone.length + set.length;
    };
    return {
      neighbours: count(this.applied.neighbours, wanted.neighbours),
      routes: count(this.applied.routes, wanted.routes),
    };
  }

  /** The kernel flushes a device's neighbours, permanent ones too, when its MAC changes (neigh_changeaddr). */
  forgetNeighbours(): void {
    this.applied.neighbours.clear();
  }

  /**
   * An IPv6 gateway that some route leads to through another device is refused, onlink or not
   * (net/ipv6/route.c, ip6_route_check_nh_onlink): the route that is to be replaced would be in its own way. Of IPv4 none is
   * replaced by one that is there already, behind it (net/ipv4/fib_trie.c, fib_table_insert).
   */
  private makeWay(subnet: string): Step[] {
    if (this.family === 'ipv4' && !this.usurped.has(subnet)) return [];
    return [
      {
        command: `route delete ${subnet}`,
        failure: `failed to delete the route to ${subnet} that is there`,
        succeeded: () => {},
      },
    ];
  }

  private async applyFdb(wanted: ReadonlyMap<string, Ip>): Promise<void> {
    const { applied } = this;
    const { gone, set } = difference(applied.fdb, wanted);
    if (gone.length === 0 && set.length === 0) return;
    await this.fdb.updateFdb({
      remove: gone.map(splitMac),
      set: set.map(([mac, address]) => ({ ...splitMac(mac), address: toUnderlay(address) })),
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
    steps.forEach(({ command, failure, succeeded }, index) => {
      const reason = failed.get(index);
      // What was to go and is not there is gone: someone else removed it.
      if (reason === undefined || (command.includes(' delete ') && isGone(reason))) {
        failed.delete(index);
        succeeded();
      } else if (++logged <= LOGGED_FAILURES) {
        error(`${failure}: ${reason} (ip ${command})`);
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
