/** The end of a run: requested by a signal, `weft cleanup`, a revoked lease or a fatal error. */

import { deferred } from './support/deferred.js';
import { info } from './support/log.js';

export class Shutdown {
  private readonly controller = new AbortController();
  private readonly end = deferred();
  private readonly drain = deferred();

  /** Requests the shutdown on SIGTERM and SIGINT. */
  static onSignals(): Shutdown {
    const shutdown = new Shutdown();
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (!shutdown.requested) info('shutdownHandler sent cancel signal...');
        shutdown.request();
      });
    }
    return shutdown;
  }

  /** Aborted once the shutdown is requested. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  get requested(): boolean {
    return this.signal.aborted;
  }

  /** Resolves once the shutdown is requested; rejects if Weft cannot continue. */
  get wait(): Promise<void> {
    return this.end.promise;
  }

  /** Resolves once device, routes and sockets of the tunnels are gone. */
  get drained(): Promise<void> {
    return this.drain.promise;
  }

  request(): void {
    this.controller.abort();
    this.end.resolve();
  }

  /** Ends the run with an error. */
  fail(error: Error): void {
    this.controller.abort();
    this.end.reject(error);
  }

  markDrained(): void {
    this.drain.resolve();
  }
}
