/**
 * The forwarding thread of one queue. When its worker fails or hangs, another one takes its place. That one gets the
 * descriptors, the row of counters, the desired state of the tunnel, and the requests without an answer.
 */

import { within } from '../../sys/within.js';
import type { CounterRow } from '../counters.js';
import { DataplaneGone } from '../errors.js';
import { COUNTER_ROW_SIZE } from '../load.js';
import type { TunnelAnswer } from '../tunnel/requests.js';
import type { Reply, WorkerOptions, WorkerRequest } from './messages.js';
import type { StartedWorker } from './spare-worker.js';
import { WorkerRun } from './worker-run.js';

/** Ticks without an answer after which a worker hangs, and those that its start may take. */
const HUNG_TICKS = 3;
const START_TICKS = 5;

/** How long a worker may take to leave its loop, and then to end after it was terminated. */
const STOP_MS = 300;
const TERMINATE_MS = 200;

/** What a worker gets for each of its runs, except the desired state. */
export type ThreadOptions = Omit<WorkerOptions, 'doorbell' | 'counters' | 'state' | 'busyRounds'>;

export interface ThreadListener {
  /** A worker failed. Returns whether another one shall replace it. */
  onCrash(cause: string): boolean;
  onFallback(reply: Extract<Reply, { type: 'fallback' }>): void;
  onPortFailure(reply: Extract<Reply, { type: 'failed' }>): void;
}

/** A request that has not been answered yet. */
interface PendingRequest {
  request: WorkerRequest;
  resolve(answer: TunnelAnswer): void;
  reject(reason: Error): void;
}

export class ForwardingThread {
  readonly counters: CounterRow = new Float64Array(new SharedArrayBuffer(COUNTER_ROW_SIZE));
  /** Resolves once the first worker forwards, or no worker ever will. */
  readonly started: Promise<void>;
  private readonly entry: URL;
  private readonly options: ThreadOptions;
  private readonly stateOf: () => WorkerRequest[];
  private readonly listener: ThreadListener;
  private readonly pending = new Map<number, PendingRequest>();
  private nextId = 1;
  private run: WorkerRun;
  private isRunning = false;
  private busyRounds: number | undefined;
  /** Ticks since the last answer. */
  private missed = 0;
  /** Whether no worker will run any more. */
  private ended = false;
  private markStarted = (): void => {};

  /** `stateOf` returns the desired state of tunnel and recorder. `spare`: the first worker, if it has started already. */
  constructor(
    entry: URL,
    options: ThreadOptions,
    stateOf: () => WorkerRequest[],
    listener: ThreadListener,
    spare?: StartedWorker,
  ) {
    this.entry = entry;
    this.options = options;
    this.stateOf = stateOf;
    this.listener = listener;
    this.started = new Promise((resolve) => {
      this.markStarted = resolve;
    });
    this.run = this.startRun(spare);
  }

  /** Whether the worker has not answered for a second. */
  get isSilent(): boolean {
    return !this.ended && this.missed > 0;
  }

  /**
   * A request that a worker leaves unanswered goes to the next one, so each is answered or rejected.
   * @throws DataplaneGone once no worker will run, TypeError for a request that the tunnel rejects
   */
  request(request: WorkerRequest): Promise<TunnelAnswer> {
    if (this.ended) return Promise.reject(new DataplaneGone());
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { request, resolve, reject });
      this.run.post({ ...request, id });
    });
  }

  /** Lets a worker that waits for packets poll its descriptors again. */
  ring(): void {
    this.run.doorbell.ring();
  }

  /** Called every second: counts seconds without an answer, in which this process ran, and replaces a worker that hangs. */
  tick(): void {
    if (this.ended) return;
    const answered = this.isRunning && !this.run.doorbell.isRinging;
    this.missed = answered ? 0 : this.missed + 1;
    if (answered) this.ring();
    else if (!this.isRunning && this.missed >= START_TICKS) this.run.terminate('it did not start');
    else if (this.isRunning && this.missed > HUNG_TICKS) this.run.terminate('it does not answer');
  }

  /** Tells the worker to end, and starts no other one. Never blocks. */
  ringStop(): void {
    this.ended = true;
    this.run.stop();
  }

  /** Ends the worker within half a second. Returns whether its thread has ended; it runs no more JavaScript anyway. */
  async stop(): Promise<boolean> {
    this.ringStop();
    const { exited } = this.run;
    let done = await within(exited, STOP_MS);
    if (!done) {
      this.run.terminate('it does not stop');
      done = await within(exited, TERMINATE_MS);
    }
    this.abandon();
    return done;
  }

  private startRun(spare?: StartedWorker): WorkerRun {
    this.isRunning = false;
    this.missed = 0;
    const { busyRounds, counters } = this;
    const options = { ...this.options, busyRounds, counters: counters.buffer as SharedArrayBuffer };
    const run = new WorkerRun(
      this.entry,
      { ...options, state: this.stateOf() },
      {
        onReply: (reply) => this.handle(reply),
        onEnd: (cause) => this.replace(cause),
      },
      spare,
    );
    for (const [id, { request }] of this.pending) run.post({ ...request, id });
    return run;
  }

  private replace(cause: string): void {
    let latest = cause;
    while (!this.ended && this.listener.onCrash(latest)) {
      try {
        this.run = this.startRun();
        return;
      } catch (error) {
        // For example no thread or descriptor is left.
        latest = (error as Error).message;
      }
    }
    this.abandon();
  }

  private handle(reply: Reply): void {
    switch (reply.type) {
      case 'started':
        this.isRunning = true;
        this.busyRounds = reply.busyRounds;
        this.missed = 0;
        return this.markStarted();
      case 'done':
        return this.settle(reply.id)?.resolve(reply.answer);
      case 'rejected':
        return this.settle(reply.id)?.reject(new TypeError(reply.reason));
      case 'fallback':
        return this.listener.onFallback(reply);
      case 'failed':
        // The worker ends; another one would fail in the same way.
        this.ended = true;
        return this.listener.onPortFailure(reply);
    }
  }

  private settle(id: number): PendingRequest | undefined {
    const request = this.pending.get(id);
    this.pending.delete(id);
    return request;
  }

  private abandon(): void {
    this.ended = true;
    this.markStarted();
    for (const request of this.pending.values()) request.reject(new DataplaneGone());
    this.pending.clear();
  }
}
