/**
 * The forwarding threads of a dataplane, and their supervision. A thread that fails is replaced, unless this is the fifth
 * failure within a minute, or its code on disk is that of another version. Every wait for a thread has a limit: its start,
 * an answer and its stop.
 */

import { errnoName } from '../../sys/errno.js';
import type { CaptureFilter } from '../capture/layout.js';
import { createRing } from '../capture/ring-reader.js';
import type { CounterRow } from '../counters.js';
import { CodeReplaced, DataplaneGone, PortFailure, ThreadFailure, ThreadSilent } from '../errors.js';
import type { Direction } from '../offload/level.js';
import type { DataplaneEvents } from '../options.js';
import type { DesiredState } from '../tunnel/desired-state.js';
import type { TunnelAnswer } from '../tunnel/requests.js';
import type { WorkerRequest } from './messages.js';
import type { SpareWorker } from './spare-worker.js';
import { ForwardingThread, type ThreadOptions } from './thread.js';
import { isReplaced, WORKER_ENTRY } from './worker-entry.js';

/** The failure within a minute that ends the dataplane. */
const MOST_FAILURES = 5;
const MINUTE_MS = 60_000;
/** How often the threads are asked whether they still run. */
const TICK_MS = 1000;
/** How long a question to the threads waits for their answers. */
const ANSWER_MS = 1000;

export interface ThreadsOptions {
  /** Name of the device, for messages. */
  device: string;
  /** One per queue. */
  threads: readonly ThreadOptions[];
  /** The tunnel's state: a thread has it before its first packet, and so does one that replaces it. */
  desired: DesiredState;
  events: Pick<DataplaneEvents, 'onFailure' | 'onThreadTrouble'>;
  /** Called once per thread and direction that falls back, with the name of the kernel's errno. */
  onRefusal(direction: Direction, code: string): void;
  /** A worker that has started already. */
  spare?: SpareWorker | undefined;
  /** The entry point of the workers; replaced by tests. */
  entry?: URL;
}

export class ForwardingThreads {
  /** Threads that were replaced. */
  restarts = 0;
  private readonly options: ThreadsOptions;
  private readonly entry: URL;
  private readonly threads: readonly ForwardingThread[];
  private readonly timer: NodeJS.Timeout;
  /** Per thread: the request of the capture that runs; empty without one. A thread that replaces another gets it too. */
  private captures: WorkerRequest[] = [];
  /** Times of the latest failures. */
  private failures: number[] = [];

  constructor(options: ThreadsOptions) {
    this.options = options;
    this.entry = options.entry ?? WORKER_ENTRY;
    this.threads = options.threads.map(
      (thread, index) =>
        new ForwardingThread(
          this.entry,
          thread,
          () => [...options.desired.requests(), ...this.captures.slice(index, index + 1)],
          {
            onCrash: (cause) => this.noteCrash(index, cause),
            onFallback: ({ direction, errno }) => options.onRefusal(direction, errnoName(errno)),
            onPortFailure: ({ port, errno }) =>
              options.events.onFailure(new PortFailure(port, options.device, errno)),
          },
          options.spare?.take(),
        ),
    );
    // An interval of which this process misses a part, because it was stopped, calls back once.
    this.timer = setInterval(() => {
      for (const thread of this.threads) thread.tick();
    }, TICK_MS);
    this.timer.unref();
  }

  get counters(): CounterRow[] {
    return this.threads.map(({ counters }) => counters);
  }

  /** Which thread does not answer; null while all do. */
  get silent(): string | null {
    const index = this.threads.findIndex(({ isSilent }) => isSilent);
    return index < 0 ? null : `${this.nameOf(index)} does not answer`;
  }

  /** Resolves once every thread forwards, or will never do so. */
  async start(): Promise<void> {
    await Promise.all(this.threads.map(({ started }) => started));
  }

  /** Asks every thread. @throws DataplaneGone; ThreadSilent when one does not answer within a second */
  async ask(request: WorkerRequest): Promise<TunnelAnswer[]> {
    return await this.inTime(this.request(request));
  }

  /** Starts a capture in every thread, in place of one that runs. Returns the ring of each. @throws as `ask` */
  async startCapture(filter: CaptureFilter): Promise<SharedArrayBuffer[]> {
    const rings = this.threads.map(() => createRing());
    this.captures = rings.map((ring) => ({ type: 'capture', ring, filter }));
    const requests = this.threads.map((thread, index) => thread.request(this.captures[index]));
    await this.inTime(Promise.all(requests));
    return rings;
  }

  /** Ends the capture in every thread. @throws as `ask` */
  async endCapture(): Promise<void> {
    this.captures = [];
    await this.ask({ type: 'capture-end' });
  }

  private async inTime(answers: Promise<TunnelAnswer[]>): Promise<TunnelAnswer[]> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new ThreadSilent()), ANSWER_MS);
    });
    try {
      return await Promise.race([answers, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Lets threads that wait for packets poll their descriptors again. */
  ring(): void {
    for (const thread of this.threads) thread.ring();
  }

  /** Tells the threads to end. Never blocks, so it may be called from an exit handler. */
  ringStop(): void {
    for (const thread of this.threads) thread.ringStop();
  }

  /** Ends the threads within half a second; afterwards none uses its descriptors. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    const ended = await Promise.all(this.threads.map((thread) => thread.stop()));
    for (const [index, done] of ended.entries()) {
      if (!done) this.options.events.onThreadTrouble(`${this.nameOf(index)} does not end; abandoning it`);
    }
  }

  private nameOf(index: number): string {
    return `forwarding thread ${index + 1} of ${this.options.device}`;
  }

  /** Lets every thread handle a request; `desired` has a change before. @throws DataplaneGone */
  request(request: WorkerRequest): Promise<TunnelAnswer[]> {
    if (this.threads.length === 0) return Promise.reject(new DataplaneGone());
    return Promise.all(this.threads.map((thread) => thread.request(request)));
  }

  /** Returns whether to replace the thread. */
  private noteCrash(index: number, cause: string): boolean {
    const now = performance.now();
    this.failures = [...this.failures.filter((time) => now - time < MINUTE_MS), now];
    const { events } = this.options;
    const failed = `${this.nameOf(index)} failed: ${cause}`;
    if (this.failures.length >= MOST_FAILURES) {
      events.onFailure(new ThreadFailure(`${failed}, failure ${this.failures.length} within a minute`));
      return false;
    }
    if (isReplaced(this.entry)) {
      events.onFailure(new CodeReplaced(failed));
      return false;
    }
    this.restarts++;
    events.onThreadTrouble(`${failed}; another one takes its place`);
    return true;
  }
}
