/** The peers of a tunnel: the wanted leases, and the reconciler that keeps kernel and dataplane in step with them. */

import type { Dataplane } from '../../dataplane/dataplane.js';
import type { PeerReconciler } from '../backends/backend.js';
import type { KernelEvent } from '../kernel/monitor.js';
import type { Repairs } from '../kernel/repairs.js';
import type { KernelSnapshot } from '../kernel/snapshot.js';
import type { Lease } from '../leases/lease.js';
import { warn } from '../support/log.js';
import { Retry } from '../support/retry.js';
import { UserError } from '../support/user-error.js';
import { isGone } from './lifecycle.js';
import { followPeers } from './log-peers.js';

/** Pauses before failed changes are retried. */
const RETRY_PAUSES = { firstMs: 1000, mostMs: 30_000, jitter: false };

/** How long after a change `ip monitor` may still report it. */
const ECHO_MS = 200;

/** What the peers get from their tunnel. */
export interface PeersContext {
  /** Returns the reconciler of a dataplane. */
  reconcilerOn(dataplane: Dataplane): PeerReconciler;
  /** Runs a change in the tunnel's queue. */
  change(change: () => Promise<void>): Promise<void>;
}

export class TunnelPeers {
  leases: readonly Lease[];
  reconciler: PeerReconciler;
  private readonly context: PeersContext;
  /** Until when the events of peers are those of Weft's own change, by `performance.now`. */
  private ownChangeUntil = 0;
  private readonly retry: Retry;

  constructor(leases: readonly Lease[], dataplane: Dataplane, context: PeersContext) {
    this.leases = leases;
    this.context = context;
    this.reconciler = context.reconcilerOn(dataplane);
    this.retry = new Retry(RETRY_PAUSES, () => {
      context.change(() => this.apply()).catch((error: Error) => warn(error.message));
    });
  }

  /** Goes on with the dataplane of a rebuilt device, which has no peer yet. */
  moveTo(dataplane: Dataplane): void {
    this.reconciler = this.context.reconcilerOn(dataplane);
  }

  /** Sets up the first peers and removes what an earlier run left of others. @throws UserError if `ip` cannot be run */
  async setUp(own: Lease): Promise<void> {
    const { leases } = this;
    // Peers need not wait for it; its failure is reported at the end.
    const cleared = this.reconciler.removeStale(own, leases);
    cleared.catch(() => {});
    followPeers([], leases);
    await this.apply();
    await cleared;
  }

  /** Applies a later set of leases. */
  async follow(leases: readonly Lease[]): Promise<void> {
    this.leases = followPeers(this.leases, leases);
    await this.apply();
  }

  /** Applies the leases. A failure is retried: it may last as long as descriptors, memory or processor time are short. */
  async apply(): Promise<void> {
    this.retry.cancel();
    this.ownChangeUntil = Number.POSITIVE_INFINITY;
    try {
      const failed = await this.reconciler.apply(this.leases);
      if (failed > 0) this.retryLater(failed);
      else this.retry.reset();
    } catch (error) {
      if (!(error instanceof UserError) || isGone(error)) throw error;
      warn(error.message);
      this.retryLater(1);
    } finally {
      this.ownChangeUntil = performance.now() + ECHO_MS;
    }
  }

  /** Compares with the kernel's state, repairs the differences and returns them. @throws UserError if `ip` cannot be run */
  async repair(snapshot: KernelSnapshot): Promise<Repairs> {
    const { repairs, failed } = await this.reconciler.repair(this.leases, snapshot);
    if (failed > 0) this.retryLater(failed);
    return repairs;
  }

  /** Whether changes are being applied. */
  get isApplying(): boolean {
    return this.ownChangeUntil === Number.POSITIVE_INFINITY;
  }

  /**
   * Returns whether the event may be the report of Weft's own change. Leases that change a thousand times a second would
   * otherwise keep the checks running.
   */
  expects({ kind }: KernelEvent): boolean {
    return (kind === 'neighbour' || kind === 'route') && performance.now() < this.ownChangeUntil;
  }

  /** Retries no failed change any more. */
  stop(): void {
    this.retry.cancel();
  }

  private retryLater(failed: number): void {
    const pause = this.retry.schedule();
    warn(`${failed === 1 ? 'a change' : `${failed} changes`} failed; retrying in ${pause / 1000} s`);
  }
}
