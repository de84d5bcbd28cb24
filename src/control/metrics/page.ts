/** The page of one scrape: metrics with the values of this moment, formatted by prom-client. */

import { type Metric, Registry } from './library.js';

export type Labels = Record<string, string>;

/** A value with its labels. */
export type Sample = readonly [labels: Labels, value: number];

/** Sizes in buckets whose bounds are 1, 2, 4, 8 …, and the sum of all sizes. */
export interface Histogram {
  labels: Labels;
  buckets: readonly number[];
  sum: number;
}

/** A line of a metric. */
interface Line {
  metricName?: string;
  labels: Labels;
  value: number;
}

export class MetricsPage {
  private readonly registry = new Registry();

  /** Adds a metric that only rises; its name ends with `_total`. A metric without samples is left out. */
  counter(name: string, help: string, samples: readonly Sample[]): void {
    this.add('counter', { name, help, lines: samples.map(line) });
  }

  gauge(name: string, help: string, samples: readonly Sample[]): void {
    this.add('gauge', { name, help, lines: samples.map(line) });
  }

  histogram(name: string, help: string, histograms: readonly Histogram[]): void {
    this.add('histogram', { name, help, lines: histograms.flatMap((histogram) => lines(name, histogram)) });
  }

  /** Returns the text in Prometheus's format. */
  text(): Promise<string> {
    return this.registry.metrics();
  }

  /**
   * Adds values that were counted elsewhere. prom-client's own classes count, and look up the labels of each value: they
   * would need several times the memory.
   */
  private add(
    type: 'counter' | 'gauge' | 'histogram',
    { name, help, lines: values }: { name: string; help: string; lines: Line[] },
  ): void {
    if (values.length === 0) return;
    const metric = { name, help, type, get: async () => ({ name, help, type, values }) };
    // The registry calls no more than `get`.
    this.registry.registerMetric(metric as unknown as Metric<string>);
  }
}

function line([labels, value]: Sample): Line {
  return { labels, value };
}

/** Returns the lines of a histogram; the count of a bucket includes the smaller ones. */
function lines(name: string, { labels, buckets, sum }: Histogram): Line[] {
  let count = 0;
  const cumulative = buckets.map((batches, index) => {
    count += batches;
    return { metricName: `${name}_bucket`, labels: { ...labels, le: String(2 ** index) }, value: count };
  });
  return [
    ...cumulative,
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
