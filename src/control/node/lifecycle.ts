/**
 * The states of a tunnel, and the rebuild of its device.
 *
 *            device or thread gone          the device exists again
 *     up ─────────────────────────► lost ─────────────────────────► rebuilding ──► up
 *                                    ▲                                  │
 *                                    └──────────── failed ──────────────┘             any state ──► stopped
 */

import { setTimeout as delay } from 'node:timers/promises';
import { CodeReplaced, DataplaneGone } from '../../dataplane/dataplane.js';
import { DeviceGone, NameTaken } from '../kernel/device.js';
import { Backoff } from '../support/backoff.js';
import { Once } from '../support/once.js';
import { UnderlayMissing } from '../underlay/rules.js';

/**
 * The first pause leaves time for a flanneld that is started beside Weft: it deletes the device, then creates its own. The
 * pauses double while rebuilds fail.
 */
const REBUILD_PAUSES = { firstMs: 250, mostMs: 1000, jitter: false };
/** The most rebuilds that may fail for a reason other than a lost device. */
const REBUILD_TRIES = 5;

export type TunnelState =
  | { name: 'up' }
  /** The device or its thread is gone, and a rebuild runs or will run. */
  | { name: 'lost'; reason: string }
  /** The device exists again; addresses, neighbours and routes are being set up. */
  | { name: 'rebuilding'; reason: string }
  | { name: 'stopped' };

/** What a rebuild does to the tunnel. */
export interface RebuildSteps {
  /** Stops the old dataplane, which frees its UDP port for a flanneld that takes over. */
  stop(): Promise<void>;
  /** Opens a new dataplane, calls `opened`, and sets up device and peers. */
  reopen(): Promise<void>;
  /** The device cannot be rebuilt: Weft has to stop. */
  onFailure(error: Error): void;
}

export class Lifecycle {
  state: TunnelState = { name: 'up' };
  /** Resolves once the running rebuild has ended. */
  rebuild: Promise<void> | undefined;
  private readonly steps: RebuildSteps;
  private readonly stopping = new AbortController();

  constructor(steps: RebuildSteps) {
    this.steps = steps;
  }

  /** Aborted once the tunnel stops. */
  get signal(): AbortSignal {
    return this.stopping.signal;
  }

  /** Why no packet passes the device; null while packets pass. */
  get notReady(): string | null {
    return 'reason' in this.state ? this.state.reason : null;
  }

  /** Records that the device or its thread is gone, and starts a rebuild unless one is running. */
  lose(reason: string): void {
    if (this.state.name === 'stopped') return;
    this.state = { name: 'lost', reason };
    this.rebuild ??= this.rebuildUntilUp()
      .catch((error: Error) => this.steps.onFailure(error))
      .finally(() => {
        this.rebuild = undefined;
      });
  }

  /** Records that the device exists again; it may be lost again while it is being set up. */
  opened(): void {
    if (this.state.name === 'lost') this.state = { ...this.state, name: 'rebuilding' };
  }

  /** Ends the tunnel and a running rebuild. */
  stop(): void {
    this.state = { name: 'stopped' };
    this.stopping.abort();
  }

  /** Everything is set up, unless the new device is lost already. */
  private finish(): void {
    if (this.state.name === 'rebuilding') this.state = { name: 'up' };
  }

  private async rebuildUntilUp(): Promise<void> {
    const { steps, signal } = this;
    const pauses = new Backoff(REBUILD_PAUSES);
    const reasons = new Once();
    let failures = 0;
    while (this.state.name === 'lost') {
      reasons.log(`${this.state.reason}; recreating the device`);
      await steps.stop();
      await delay(pauses.next(), undefined, { signal, ref: false }).catch(() => {});
      try {
        await steps.reopen();
        this.finish();
      } catch (error) {
        const mayEnd = isGone(error) || error instanceof UnderlayMissing;
        const isFinal = error instanceof NameTaken || error instanceof CodeReplaced;
        if (isFinal || (!mayEnd && ++failures > REBUILD_TRIES)) throw error;
        this.state = { name: 'lost', reason: (error as Error).message };
      }
    }
  }
}

/** Returns whether an operation failed because the device or its thread is gone. */
export function isGone(error: unknown): boolean {
  return error instanceof DeviceGone || error instanceof DataplaneGone;
}
