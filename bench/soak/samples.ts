/** What the soak test samples, and the limits that it checks. */

/** The state of one node at one time. */
export interface Sample {
  /** Seconds since the load began. */
  readonly at: number;
  /** MiB of resident memory, and of its part that is no file: heaps, arena, stacks. */
  readonly rss: number;
  readonly anonymous: number;
  readonly descriptors: number;
  /** Repaired objects since the start. */
  readonly repairs: number;
  /** Round trips of the last interval in ms; 0 without a reply. */
  readonly p50: number;
  readonly p999: number;
}

export interface Limits {
  /** MiB of RSS at its peak. */
  readonly peak: number;
  /** MiB of RSS per 10 minutes, after the warm-up. */
  readonly growth: number;
}

/** The limits hold after this time, or after a third of a shorter run. */
const WARM_UP_S = 600;
/** Descriptors that a sample may find more than another one: pipes of commands, control connections. */
const FEW_DESCRIPTORS = 4;

/** Returns the samples after the warm-up. */
export function warm(samples: readonly Sample[]): Sample[] {
  const end = samples.at(-1)?.at ?? 0;
  const from = Math.min(WARM_UP_S, end / 3);
  return samples.filter(({ at }) => at >= from);
}

/** Returns the slope of a value by least squares, per second. */
export function slope(samples: readonly Sample[], value: (sample: Sample) => number): number {
  const mean = (of: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [at, level] = [mean((sample) => sample.at), mean(value)];
  const spread = mean((sample) => (sample.at - at) ** 2);
  return spread === 0 ? 0 : mean((sample) => (sample.at - at) * (value(sample) - level)) / spread;
}

/** Returns a line for each limit of a node that its samples break. `peak`: MiB, from the kernel. */
export function brokenLimits(
  node: string,
  samples: readonly Sample[],
  peak: number,
  limits: Limits,
): string[] {
  const late = warm(samples);
  const growth = slope(late, ({ rss }) => rss) * 600;
  const half = Math.ceil(late.length / 2);
  const fewest = (part: readonly Sample[]): number => Math.min(...part.map(({ descriptors }) => descriptors));
  const [before, after] = [fewest(late.slice(0, half)), fewest(late.slice(half))];
  return [
    ...(peak > limits.peak ? [`${node}: RSS peak ${peak.toFixed(1)} MiB, limit ${limits.peak}`] : []),
    ...(growth > limits.growth
      ? [`${node}: RSS grows by ${growth.toFixed(1)} MiB per 10 min, limit ${limits.growth}`]
      : []),
    ...(after > before + FEW_DESCRIPTORS ? [`${node}: descriptors grew from ${before} to ${after}`] : []),
  ];
}
