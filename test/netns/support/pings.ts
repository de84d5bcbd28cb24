/**
 * Pings that all have to be answered, by their sequence numbers. ping's own figures count a reply as lost that
 * arrives later than two round trips after the last request, which happens on a busy machine.
 */

import type { Test } from 'tap';
import { LabProcess } from '../../../lab/process.js';

/** Returns the replies in the output of a finished ping. */
function sequencesIn(output: string): { answered: number; missing: number[] } {
  const seen = new Set([...output.matchAll(/icmp_seq=(\d+) ttl/g)].map((found) => Number(found[1])));
  const last = Math.max(0, ...seen);
  const all = Array.from({ length: last }, (_, index) => index + 1);
  return { answered: seen.size, missing: all.filter((sequence) => !seen.has(sequence)) };
}

export interface PingsOptions {
  readonly count?: number;
  /** Seconds between two requests. */
  readonly interval?: number;
  /** Payload bytes. */
  readonly size?: number;
  readonly dontFragment?: boolean;
}

/** Pings from a pod or node until `count` replies arrived, and asserts that none is lost. */
export async function answered(
  t: Test,
  from: { readonly netns: string },
  address: string,
  what = `${address} answers`,
  options: PingsOptions = {},
): Promise<void> {
  const { count = 3, interval = 0.02, size = 56, dontFragment = false } = options;
  const argv = ['ping', '-n', '-c', `${count}`, '-i', `${interval}`, '-w', '5', '-s', `${size}`];
  if (dontFragment) argv.push('-M', 'do');
  const running = new LabProcess([...argv, address], { netns: from.netns });
  t.teardown(() => running.stop('SIGKILL'));
  await running.exited;
  const { answered, missing } = sequencesIn(running.stdout);
  // On a busy machine ping may have sent another request before it counts the last reply.
  const enough = answered >= count;
  t.strictSame({ enough, missing }, { enough: true, missing: [] }, what);
  if (!enough) t.comment(running.tail());
}

export interface Flood {
  /** Ends it. Requests in flight at that moment count as neither answered nor missing. */
  end(): Promise<{ answered: number; missing: number[] }>;
}

/** Pings every 2 ms until `end`. */
export function startFlood(t: Test, from: { readonly netns: string }, address: string): Flood {
  const running = new LabProcess(['ping', '-n', '-i', '0.002', address], { netns: from.netns });
  t.teardown(() => running.stop('SIGKILL'));
  return {
    async end() {
      await running.stop('SIGINT');
      return sequencesIn(running.stdout);
    },
  };
}
