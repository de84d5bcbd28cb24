/** One run of a worker: a Node.js Worker from its start to its end. It ends once, whether stopped, failed or terminated. */

import type { Worker } from 'node:worker_threads';
import { describeError } from '../../sys/describe-error.js';
import { Doorbell } from './doorbell.js';
import type { Reply, Request, WorkerOptions } from './messages.js';
import type { StartedWorker } from './spare-worker.js';
import { startWorker } from './worker-entry.js';

export interface RunListener {
  onReply(reply: Reply): void;
  /** Called once, when the worker runs no more code. `cause`: one line, for a run that was not stopped. */
  onEnd(cause: string): void;
}

export class WorkerRun {
  readonly doorbell: Doorbell;
  /** Resolves once the operating system's thread has ended. */
  readonly exited: Promise<void>;
  private readonly worker: Worker;
  private ended = false;
  private readonly listener: RunListener;

  /** `spare` is a worker that waits for its options; without one a worker starts now. @throws SystemError, CodeReplaced */
  constructor(
    entry: URL,
    options: Omit<WorkerOptions, 'doorbell'>,
    listener: RunListener,
    spare?: StartedWorker,
  ) {
    const handle = spare?.doorbell ?? Doorbell.create();
    this.doorbell = new Doorbell(handle);
    this.listener = listener;
    const workerData: WorkerOptions = { ...options, doorbell: handle };
    try {
      this.worker = spare?.worker ?? startWorker(entry, workerData);
    } catch (error) {
      this.doorbell.close();
      throw error;
    }
    if (spare !== undefined) {
      spare.worker.postMessage(workerData);
      this.doorbell.ring();
    }
    this.worker.on('message', (reply: Reply) => {
      if (!this.ended) listener.onReply(reply);
    });
    this.worker.on('error', (error) => {
      // Before the next run has descriptors of its own: if this one is closed already, they have its number.
      this.doorbell.close();
      this.end(describeError(error));
    });
    this.exited = new Promise((resolve) => {
      this.worker.once('exit', (code) => {
        this.doorbell.close();
        this.end(`it exited with code ${code}`);
        resolve();
      });
    });
  }

  post(request: Request): void {
    this.worker.postMessage(request);
    this.doorbell.ring();
  }

  /** Makes the worker leave its loop. */
  stop(): void {
    this.doorbell.stop();
  }

  /**
   * Ends a worker that does not answer. It runs no more JavaScript from now on. A thread that a system call blocks exits
   * when that call returns.
   */
  terminate(cause: string): void {
    this.doorbell.stop();
    void this.worker.terminate();
    this.end(cause);
  }

  private end(cause: string): void {
    if (this.ended) return;
    this.ended = true;
    this.listener.onEnd(cause);
  }
}
