/** Promises of a time, on a machine that other processes may load. */

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Test } from 'tap';

const SAMPLE_MS = 50;
/** Runnable threads per CPU that a test has of its own: two Weft processes and both ends of iperf3, on two CPUs. */
const OWN_LOAD = 2;

/** Returns the number of runnable threads of the machine: the fourth field of /proc/loadavg (fs/proc/loadavg.c). */
function runnable(): number {
  return Number(/(\d+)\/\d+/.exec(readFileSync('/proc/loadavg', 'utf8'))?.[1]);
}

/** Measures a time and the machine's run queue meanwhile. */
export class Stopwatch {
  private readonly startedAt = performance.now();
  private readonly samples = [runnable()];
  private readonly sampling = setInterval(() => this.samples.push(runnable()), SAMPLE_MS).unref();

  get elapsedMs(): number {
    return performance.now() - this.startedAt;
  }

  /** Returns the promised time, longer in proportion to the load of other processes so far. */
  allowedMs(promisedMs: number): number {
    return promisedMs * Math.max(1, this.load / OWN_LOAD);
  }

  /** Ends the measurement, records time and load, and asserts the promise. */
  stop(t: Test, promisedMs: number, what: string): void {
    const elapsed = this.elapsedMs;
    clearInterval(this.sampling);
    const allowed = this.allowedMs(promisedMs);
    t.comment(
      `${what}: ${elapsed.toFixed(0)} ms of ${allowed.toFixed(0)} allowed (${promisedMs} promised, ${this.load.toFixed(1)} runnable threads per CPU)`,
    );
    t.ok(elapsed <= allowed, `${what} within ${allowed.toFixed(0)} ms`);
  }

  /** Runnable threads per CPU, on average. */
  private get load(): number {
    return this.samples.reduce((sum, count) => sum + count, 0) / this.samples.length / availableParallelism();
  }
}
