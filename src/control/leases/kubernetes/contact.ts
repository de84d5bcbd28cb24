/** Whether the API server answers, and what is said when it does not: at once, then once a minute, and when it is back. */

import { info, warn } from '../../log.js';

const REMIND_EVERY_MS = 60_000;

export class Contact {
  private readonly graceMs: number;
  /** Nothing was ever heard of it: a node that starts waits, one that runs goes on. */
  private reached = false;
  private lostAt: number | undefined;
  private reason = '';
  private saidAt: number | undefined;

  constructor(graceMs: number) {
    this.graceMs = graceMs;
  }

  /** Why the server's nodes are not known just now; null when they are, or when that is a matter of moments. */
  get trouble(): string | null {
    if (this.lostAt === undefined) return null;
    return !this.reached || performance.now() - this.lostAt >= this.graceMs ? this.reason : null;
  }

  /** An attempt has failed; `reason` is a sentence. */
  failed(reason: string): void {
    const now = performance.now();
    this.lostAt ??= now;
    this.reason = reason;
    if (this.trouble === null) return;
    if (this.saidAt !== undefined && now - this.saidAt < REMIND_EVERY_MS) return;
    this.saidAt = now;
    warn(
      this.reached
        ? `lost the Kubernetes API server, the last known peers stay in force: ${reason}`
        : `waiting for the Kubernetes API server: ${reason}`,
    );
  }

  /** The server has answered as it should. */
  restored(): void {
    if (this.saidAt !== undefined) info('the Kubernetes API server answers again');
    this.reached = true;
    this.lostAt = undefined;
    this.saidAt = undefined;
  }
}
