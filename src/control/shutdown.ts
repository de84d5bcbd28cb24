/** The end of a run: requested by a signal, `weft cleanup`, a revoked lease or a fatal error. */

import { exitNow } from '../sys/ffi.js';
import { within } from '../sys/within.js';
import { killCommands } from './support/command.js';
import { deferred } from './support/deferred.js';
import { info, warn } from './support/log.js';
import { unexpectedError } from './support/user-error.js';

/** How long a start that does not follow the signal, such as one whose `ip` hangs, delays the shutdown. */
const START_MS = 150;
/** The whole shutdown; Weft promises two seconds. */
const SHUTDOWN_MS = 1850;
/** How long sockets and threads that are left may delay the exit. */
const EXIT_MS = 100;

export class Shutdown {
  private readonly controller = new AbortController();
  private readonly end = deferred();
  private readonly drain = deferred();
  private readonly onRequest: () => void;
  /** Aborted once the shutdown is requested. */
  readonly signal = this.controller.signal;
  /** Resolves once the shutdown is requested; rejects if Weft cannot go on. */
  readonly wait = this.end.promise;
  /** Resolves once device, routes and sockets of the tunnels are gone. */
  readonly drained = this.drain.promise;
  private code = 0;

  /** `onRequest` is called once, when the shutdown begins. */
  constructor(onRequest = (): void => {}) {
    this.onRequest = onRequest;
  }

  /**
   * Requests the shutdown on SIGTERM, SIGINT and an error that nothing handles. From the request on, the process has a
   * limited time: then it ends as it is. `onRequest` is called once, when the shutdown begins.
   */
  static ofProcess(onRequest: () => void): Shutdown {
    const shutdown = new Shutdown(() => {
      onRequest();
      exitAfter(SHUTDOWN_MS, () => {
        warn(`the shutdown did not end within ${SHUTDOWN_MS} ms; exiting`);
        return shutdown.code;
      });
    });
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (!shutdown.requested) info('shutdownHandler sent cancel signal...');
        shutdown.request();
      });
    }
    // It takes the place of the command line's, which exits at once.
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', (error) => {
      const failure = unexpectedError(error);
      if (shutdown.requested) warn(failure.message);
      shutdown.fail(failure);
    });
    return shutdown;
  }

  get requested(): boolean {
    return this.signal.aborted;
  }

  request(): void {
    this.begin();
    this.end.resolve();
  }

  /** Ends the run with an error; the first one counts. */
  fail(error: Error): void {
    if (!this.requested) this.code = 1;
    this.begin();
    this.end.reject(error);
  }

  /**
   * Resolves once the run has ended. A run that does not follow the request is left behind, and its commands are killed.
   * @throws the error of the run, or of `fail`
   */
  async follow(run: Promise<void>): Promise<void> {
    const settled = run.catch(() => {});
    await Promise.race([settled, this.wait.catch(() => {})]);
    const ended = await within(settled, START_MS);
    if (!ended) killCommands();
    // An error that requested the shutdown is the cause of those that follow.
    if (this.requested) await this.wait;
    if (ended) await run;
  }

  markDrained(): void {
    this.drain.resolve();
  }

  /** Everything is undone: ends the process even if something is left that would keep it running. */
  finish(code: number): void {
    exitAfter(EXIT_MS, () => code);
  }

  private begin(): void {
    if (this.requested) return;
    this.controller.abort();
    this.onRequest();
  }
}

/** Ends the process after `ms` unless it has ended by itself. */
function exitAfter(ms: number, code: () => number): void {
  setTimeout(() => {
    killCommands();
    exitNow(code());
  }, ms).unref();
}
