/** The page of /metrics. A scrape reads shared memory; only the figures of peers ask the forwarding threads. */

import { setTimeout as delay } from 'node:timers/promises';
import { version } from '../../version.js';
import type { Service } from '../service.js';
import type { NodeMetrics } from './node-metrics.js';
import type { MetricsPage } from './page.js';

/** A page is served again for this time: a client that asks all the time must not occupy the threads. */
const FRESH_MS = 500;

export interface MetricsSource {
  /** Why the node is not ready; null once it is. */
  notReady(): string | null;
  /** The running node; undefined before the devices exist. */
  service(): Service | undefined;
  /** The number of peers that have series of their own (--metrics-peers). */
  mostPeers: number;
}

export class Metrics {
  private readonly source: MetricsSource;
  private nodeMetrics: Promise<NodeMetrics> | undefined;
  /** The page that is being made, or the last one for FRESH_MS. */
  private fresh: Promise<Buffer> | undefined;

  constructor(source: MetricsSource) {
    this.source = source;
  }

  /** Returns the page; concurrent scrapes share one. */
  page(): Promise<Buffer> {
    if (this.fresh !== undefined) return this.fresh;
    const page = this.collect();
    this.fresh = page;
    const forget = (): void => {
      if (this.fresh === page) this.fresh = undefined;
    };
    page.then(() => delay(FRESH_MS, undefined, { ref: false })).then(forget, forget);
    return page;
  }

  /** Loads prom-client with the first scrape: most nodes have health probes only. */
  private async collect(): Promise<Buffer> {
    const { MetricsPage } = await import('./page.js');
    this.nodeMetrics ??= import('./node-metrics.js').then(
      ({ NodeMetrics }) => new NodeMetrics(this.source.mostPeers),
    );
    const nodeMetrics = await this.nodeMetrics;
    const page = new MetricsPage();
    const service = this.source.service();
    page.gauge('weft_ready', 'Whether the node is ready, as /readyz: 1 or 0.', [
      [{}, this.source.notReady() === null ? 1 : 0],
    ]);
    page.gauge('weft_build_info', 'The version of Weft and Node.js, and the backend once it is known.', [
      [
        {
          version: version(),
          node: process.versions.node,
          backend: service?.parts.plan.netConf.backend.type ?? '',
        },
        1,
      ],
    ]);
    addProcess(page);
    if (service !== undefined) await nodeMetrics.add(page, service);
    return Buffer.from(await page.text());
  }
}

/** Adds the metrics that every process has under these names. */
function addProcess(page: MetricsPage): void {
  const { user, system } = process.cpuUsage();
  page.gauge('process_start_time_seconds', 'Start of the process, in seconds since 1970.', [
    [{}, Math.round(performance.timeOrigin) / 1000],
  ]);
  page.counter('process_cpu_seconds_total', 'Processor time of the process.', [[{}, (user + system) / 1e6]]);
  page.gauge('process_resident_memory_bytes', 'Resident memory of the process.', [
    [{}, process.memoryUsage.rss()],
  ]);
}
