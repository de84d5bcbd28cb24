/**
 * The rebuild of a tunnel's device.
 *
 *            device or thread gone          the device exists again
 *     up ─────────────────────────► lost ─────────────────────────► rebuilding ──► up
 *                                    ▲                                  │
 *                                    └──────────── failed ──────────────┘             any state ──► stopped
 */

import { setTimeout as delay } from 'node:timers/promises';
import { DataplaneGone } from '../../dataplane/dataplane.js';
import { DeviceGone, NameTaken } from '../kernel/device.js';
import { Backoff } from '../support/backoff.js';
import { warn } from '../support/log.js';

/**
 * The first pause leaves time for a flanneld that is started beside Weft: it deletes the device, then creates its own. The
 * pauses double while rebuilds fail.
 */
const REBUILD_PAUSES = { firstMs: 250, mostMs: 1000, jitter: false };
/** Rebuilds may fail this often for another reason than that the device is gone again. */
const REBUILD_TRIES = 5;

/** What a rebuild does to the tunnel. */
export interface RebuildSteps {
  /** Stops the old dataplane, which frees its UDP port for a flanneld that takes over. */
  stop(): Promise<void>;
  /** Opens a new dataplane, calls `opened`, and sets up device and peers. */
  reopen(): Promise<void>;
  /** The device cannot be rebuilt: Weft has to stop. */
  onFailure(error: Error): void;
}

export class Rebuild {
  /** Why no packet passes the device; null while packets pass. */
  notReady: string | null = null;
  /** Resolves once the running rebuild has ended. */
  running: Promise<void> | undefined;
  private readonly steps: RebuildSteps;
  private readonly signal: AbortSignal;
  /** The device or its thread is gone, and no new device exists yet. */
  private lost = false;

  /** Aborting the signal ends a rebuild. */
  constructor(steps: RebuildSteps, signal: AbortSignal) {
    this.steps = steps;
    this.signal = signal;
  }

  /** Notes that the device or its thread is gone, and starts a rebuild unless one is running. */
  lose(reason: string): void {
    if (this.signal.aborted) return;
    this.lost = true;
    this.notReady = reason;
    this.running ??= this.untilUp()
      .catch((error: Error) => this.steps.onFailure(error))
      .finally(() => {
        this.running = undefined;
      });
  }

  /** Notes that the device exists again; it may be lost again while it is being set up. */
  opened(): void {
    this.lost = false;
  }

  private async untilUp(): Promise<void> {
    const { steps, signal } = this;
    const pauses = new Backoff(REBUILD_PAUSES);
    let failures = 0;
    while (this.lost && !signal.aborted) {
      warn(`${this.notReady}; recreating it`);
      await steps.stop();
      await delay(pauses.next(), undefined, { signal, ref: false }).catch(() => {});
      try {
        await steps.reopen();
      } catch (error) {
        if (error instanceof NameTaken || (!isGone(error) && ++failures > REBUILD_TRIES)) throw error;
        this.lost = true;
        this.notReady = (error as Error).message;
      }
    }
    this.notReady = null;
  }
}

/** Returns true if an operation failed because the device or its thread is gone. */
export function isGone(error: unknown): boolean {
  return error instanceof DeviceGone || error instanceof DataplaneGone;
}
