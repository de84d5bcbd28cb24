/**
 * Keeps floods from unknown senders away from the workers: while more datagrams than usual are refused, the receiving
 * sockets have a filter (peer-filter.ts).
 *
 * Without a flood there is no filter, so that every refused datagram is counted under the reason of its refusal. The filter
 * always passes at least the leased addresses: a new peer's address is in it before the workers know the peer.
 */

import type { UnderlayAddress } from '../../sys/sockaddr.js';
import { type PeerFilterOptions, peerFilter } from './peer-filter.js';
import type { SocketDrops } from './socket-drops.js';
import { attachFilter, detachFilter } from './udp-socket.js';

const TICK_MS = 500;
/** Refused datagrams per second at which a flood begins, and below which it is over after a while. */
const FLOOD_RATE = 5000;
const QUIET_RATE = 500;
const QUIET_MS = 10_000;

/** What the filter of a dataplane checks: see PeerFilterOptions. */
export type FilterRules = Pick<PeerFilterOptions, 'ipv6' | 'vni'> & { byAddress: boolean };

export class FloodGuard {
  private readonly fds: readonly number[];
  private readonly rules: FilterRules;
  private readonly refusals: () => number;
  private readonly drops: Pick<SocketDrops, 'read' | 'filtering'>;
  private readonly leased: () => readonly UnderlayAddress[];
  /** Addresses that the workers are about to forget. */
  private readonly leaving = new Set<readonly UnderlayAddress[]>();
  private timer: NodeJS.Timeout | undefined;
  private readAt = performance.now();
  /** Refused and filtered datagrams at the last tick. */
  private seen = 0;
  private quietSince = 0;
  private outdated = false;

  /**
   * `leased` returns the addresses that the workers know or are about to know; `refusals` how many datagrams they have
   * refused.
   */
  constructor(
    fds: readonly number[],
    rules: FilterRules,
    leased: () => readonly UnderlayAddress[],
    refusals: () => number,
    drops: Pick<SocketDrops, 'read' | 'filtering'>,
  ) {
    this.fds = fds;
    this.rules = rules;
    this.leased = leased;
    this.refusals = refusals;
    this.drops = drops;
  }

  /** Begins to watch, unless no datagram can be judged by what a filter sees. */
  start(): void {
    if (!this.rules.byAddress && this.rules.vni === undefined) return;
    clearInterval(this.timer);
    this.timer = setInterval(() => this.check(performance.now()), TICK_MS).unref();
  }

  /** Ends watching, and removes the filter: another process may use the sockets. */
  stop(): void {
    clearInterval(this.timer);
    if (this.drops.filtering) this.detach();
  }

  /**
   * Runs `apply`, which lets the workers apply changes. Call it once `leased` has the new addresses: they pass before, and
   * those in `leaving` until after.
   */
  async during(leaving: readonly UnderlayAddress[], apply: () => Promise<unknown>): Promise<void> {
    this.leaving.add(leaving);
    if (this.drops.filtering) this.attach();
    try {
      await apply();
      this.leaving.delete(leaving);
    } finally {
      this.outdated = true;
    }
  }

  /** Gives sockets that have replaced others behind the same descriptors the present filter. */
  renew(): void {
    if (this.drops.filtering) this.attach();
  }

  /** Attaches, renews or detaches the filter. Called twice a second, with the milliseconds of a steady clock. */
  check(now: number): void {
    const { drops } = this;
    const refused = this.refusals() + (drops.filtering ? drops.read().rx_drop_filtered : 0);
    const rate = ((refused - this.seen) * 1000) / Math.max(1, now - this.readAt);
    this.seen = refused;
    this.readAt = now;
    if (!drops.filtering) {
      if (rate < FLOOD_RATE) return;
      this.quietSince = now;
      drops.read();
      drops.filtering = true;
      this.attach();
      this.seen = this.refusals() + drops.read().rx_drop_filtered;
      return;
    }
    if (rate >= QUIET_RATE) this.quietSince = now;
    if (now - this.quietSince >= QUIET_MS) this.detach();
    else if (this.outdated) this.attach();
  }

  /** Gives every socket the present filter, or none: an old kernel may have no room for it. */
  private attach(): void {
    const { byAddress, ...rules } = this.rules;
    this.outdated = false;
    const addresses = byAddress ? [...this.leased(), ...[...this.leaving].flat()] : undefined;
    const program = peerFilter({ ...rules, ...(addresses !== undefined && { addresses }) });
    if (!this.fds.every((fd) => attachFilter(fd, program))) this.detach();
  }

  private detach(): void {
    for (const fd of this.fds) detachFilter(fd);
    this.drops.read();
    this.drops.filtering = false;
    this.seen = this.refusals();
  }
}
