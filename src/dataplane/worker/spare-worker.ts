/**
 * A worker that starts before its dataplane exists. Node.js needs longer to start a worker than control to make its plan,
 * so the start of Weft runs both at the same time. The worker waits until it gets its options.
 */

import type { Worker } from 'node:worker_threads';
import { Doorbell, type DoorbellHandle } from './doorbell.js';
import { startWorker, WORKER_ENTRY } from './worker-entry.js';

export interface StartedWorker {
  worker: Worker;
  doorbell: DoorbellHandle;
}

export class SpareWorker {
  private started: StartedWorker | undefined;
  private readonly endAtExit = (): void => this.discard();

  /** Starts the worker. @throws SystemError */
  constructor() {
    const doorbell = Doorbell.create();
    const worker = startWorker(WORKER_ENTRY, { doorbell });
    this.started = { worker, doorbell };
    // Its dataplane then starts another one.
    worker.once('error', () => this.forget());
    process.on('exit', this.endAtExit);
  }

  /** Returns the worker, for good; undefined if it has failed or was taken before. */
  take(): StartedWorker | undefined {
    const { started } = this;
    this.forget();
    return started;
  }

  /** Ends a worker that nothing has taken. */
  discard(): void {
    const started = this.take();
    if (started !== undefined) new Doorbell(started.doorbell).stop();
  }

  private forget(): void {
    this.started = undefined;
    process.off('exit', this.endAtExit);
  }
}
