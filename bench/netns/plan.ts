/** The order of the measurements, and the time that is left for them. */

import type { VethMode } from '../../lab/underlay.js';
import type { Figure } from './figure.js';
import type { Options } from './options.js';
import type { Peer } from './peers.js';

/** One measurement: a figure of a peer. */
export interface Measurement {
  readonly mode: VethMode;
  readonly round: number;
  readonly figure: Figure;
  readonly peer: Peer;
}

/** Returns all measurements in order. Each round begins with another peer. */
export function planOf(
  { modes, rounds, figures }: Pick<Options, 'modes' | 'rounds' | 'figures'>,
  peers: readonly Peer[],
): Measurement[] {
  const plan: Measurement[] = [];
  for (const mode of modes) {
    for (let round = 1; round <= rounds; round++) {
      for (const figure of figures) {
        const order = peers.map((_, index) => peers[(index + round - 1) % peers.length]);
        for (const peer of order) {
          if (figure.without?.includes(peer.kind) !== true) plan.push({ mode, round, figure, peer });
        }
      }
    }
  }
  return plan;
}

/** The seconds that a figure takes beside its traffic: nodes, pods and dataplanes start and stop. */
const SET_UP_SECONDS = 2.5;

/** Estimates the time of measurements from those of the same figure that are done. */
export class Clock {
  private readonly seconds: number;
  private readonly taken = new Map<string, { seconds: number; count: number }>();

  /** `seconds` is the length of one traffic run. */
  constructor(seconds: number) {
    this.seconds = seconds;
  }

  /** Adds the time that a measurement took. */
  add({ figure }: Measurement, seconds: number): void {
    const before = this.taken.get(figure.name) ?? { seconds: 0, count: 0 };
    this.taken.set(figure.name, { seconds: before.seconds + seconds, count: before.count + 1 });
  }

  /** Returns the estimated seconds of these measurements. */
  left(measurements: readonly Measurement[]): number {
    return measurements.reduce((sum, { figure }) => {
      const taken = this.taken.get(figure.name);
      const guess = (figure.runs ?? 1) * this.seconds + SET_UP_SECONDS;
      return sum + (taken === undefined ? guess : taken.seconds / taken.count);
    }, 0);
  }
}

/** Returns a duration as a person says it: `50 s`, `12 min`, `1 h 10 min`. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
