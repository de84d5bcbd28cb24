/** The page of one scrape: metrics with the values of this moment, formatted by prom-client. */

import { Counter, Gauge, Registry } from './library.js';

export type Labels = Record<string, string>;

/** A value with its labels. */
export type Sample = readonly [labels: Labels, value: number];

/** Sizes in buckets whose bounds are 1, 2, 4, 8 …, and the sum of all sizes. */
export interface Histogram {
  labels: Labels;
  buckets: readonly number[];
  sum: number;
}

export class MetricsPage {
  private readonly registry = new Registry();

  /** Adds a metric that only rises; its name ends with `_total`. A metric without samples is left out. */
  counter(name: string, help: string, samples: readonly Sample[]): void {
    // prom-client would add a value of 0 without labels.
    if (samples.length === 0) return;
    const counter = new Counter({ name, help, labelNames: labelNames(samples), registers: [this.registry] });
    for (const [labels, value] of samples) counter.inc(labels, value);
  }

  gauge(name: string, help: string, samples: readonly Sample[]): void {
    if (samples.length === 0) return;
    const gauge = new Gauge({ name, help, labelNames: labelNames(samples), registers: [this.registry] });
    for (const [labels, value] of samples) gauge.set(labels, value);
  }

  /** Adds a histogram that was counted elsewhere: that of prom-client counts itself, value by value. */
  histogram(name: string, help: string, histograms: readonly Histogram[]): void {
    const values = histograms.flatMap((histogram) => lines(name, histogram));
    const metric = {
      name,
      help,
      type: 'histogram',
      get: async () => ({ name, help, type: 'histogram', values }),
    };
    this.registry.registerMetric(metric as unknown as Counter<string>);
  }

  /** Returns the text in Prometheus's format. */
  text(): Promise<string> {
    return this.registry.metrics();
  }
}

function labelNames(samples: readonly Sample[]): string[] {
  return Object.keys(samples[0]?.[0] ?? {});
}

/** Returns the lines of a histogram; the count of a bucket includes the smaller ones. */
function lines(name: string, { labels, buckets, sum }: Histogram): object[] {
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
