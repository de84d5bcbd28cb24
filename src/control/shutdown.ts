/** The end of a run: requested by a signal, `weft cleanup`, a revoked lease or a fatal error. */

import { deferred } from './support/deferred.js';
import { info } from './support/log.js';

export class Shutdown {
  private readonly controller = new AbortController();
  private readonly end = deferred();
  private readonly drain = deferred();
  /** Aborted once the shutdown is requested. */
  readonly signal = this.controller.signal;
  /** Resolves once the shutdown is requested; rejects if Weft cannot go on. */
  readonly wait = this.end.promise;
  /** Resolves once device, routes and sockets of the tunnels are gone. */
  readonly drained = this.drain.promise;

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

  get requested(): boolean {
    return this.signal.aborted;
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
