/** The running Weft hands over to a new one: it forwards until the new one does, and stays in charge if that one fails. */

import { isReceiving } from '../../dataplane/dataplane.js';
import type { FamilyTunnel } from '../node/family-tunnel.js';
import type { ServiceManager } from '../service-manager.js';
import { info, warn } from '../support/log.js';
import { UserError } from '../support/user-error.js';

/** The longest wait for the new process. It needs a second; the old one repairs nothing meanwhile. */
const PATIENCE_MS = 30_000;

/** How often the old process looks whether the new one still exists. */
const WATCH_MS = 500;

/** What pauses during a handover: the new process restores the same things. */
export interface Pausable {
  paused: boolean;
}

export class HandingOver {
  /** Names the takeover. */
  readonly id: string;
  private readonly tunnels: readonly FamilyTunnel[];
  private readonly pausables: readonly Pausable[];
  private readonly manager: ServiceManager;
  private patience: NodeJS.Timeout | undefined;
  private watch: NodeJS.Timeout | undefined;

  /** `manager` learns that this process is being replaced. */
  constructor(
    id: string,
    tunnels: readonly FamilyTunnel[],
    pausables: readonly Pausable[],
    manager: ServiceManager,
  ) {
    this.id = id;
    this.tunnels = tunnels;
    this.pausables = pausables;
    this.manager = manager;
  }

  /** Sends the dataplanes to the Unix socket at `path`. @throws UserError if a device is being rebuilt, or sending fails */
  begin(path: string): void {
    const rebuilt = this.tunnels.find(({ lifecycle }) => lifecycle.notReady !== null);
    if (rebuilt !== undefined)
      throw new UserError(`${rebuilt.plan.backend.device} is being recreated: ${rebuilt.lifecycle.notReady}`);
    info('handing over to another Weft process');
    this.manager.reloading();
    this.pause(true);
    try {
      for (const { dataplane } of this.tunnels) dataplane.handOver(path);
    } catch (error) {
      this.goOn();
      throw new UserError(`the dataplane cannot be handed over: ${(error as Error).message}`);
    }
    this.patience = setTimeout(() => this.resume(`no new Weft within ${PATIENCE_MS / 1000} s`), PATIENCE_MS);
    this.watch = setInterval(() => {
      if (!isReceiving(path)) this.resume('the new Weft is gone');
    }, WATCH_MS);
  }

  /** Goes on after a takeover that failed. */
  resume(reason: string): void {
    if (this.patience === undefined) return;
    this.end();
    this.goOn();
    warn(`the takeover failed (${reason}); this Weft stays in charge`);
  }

  /** Ends the wait for the new process. */
  end(): void {
    clearTimeout(this.patience);
    clearInterval(this.watch);
    this.patience = undefined;
  }

  private goOn(): void {
    for (const { dataplane } of this.tunnels) dataplane.takeBack();
    this.pause(false);
    this.manager.ready();
  }

  private pause(paused: boolean): void {
    for (const pausable of this.pausables) pausable.paused = paused;
  }
}
