/** A ping that goes on while other things happen, and says afterwards whether it missed anything. */

import type { Test } from 'tap';
import type { Pod } from '../../../lab/node.js';
import { LabProcess } from '../../../lab/process.js';

export interface FloodResult {
  /** Answered pings: every one from the first to the last that was answered, if none is missing. */
  readonly answered: number;
  /** Sequence numbers below the last answered one that were not answered. */
  readonly missing: number[];
}

export interface Flood {
  /** Ends it. What was under way at that moment counts as neither answered nor missing. */
  end(): Promise<FloodResult>;
}

/** Pings every 2 ms until it is ended. */
export function startFlood(t: Test, from: Pod, address: string): Flood {
  const running = new LabProcess(['ping', '-n', '-i', '0.002', address], {
    netns: from.netns,
    name: `ping from ${from.name}`,
  });
  t.teardown(() => running.stop('SIGKILL'));
  return {
    async end() {
      await running.stop('SIGINT');
      const seen = new Set(
        [...running.stdout.matchAll(/icmp_seq=(\d+) ttl/g)].map((found) => Number(found[1])),
      );
      const last = Math.max(0, ...seen);
      const all = Array.from({ length: last }, (_, index) => index + 1);
      return { answered: seen.size, missing: all.filter((sequence) => !seen.has(sequence)) };
    },
  };
}
