/** Where a run answers: the health endpoints with the metrics, and the control socket. */

import type { HealthServer } from './health.js';
import { type CaptureHandler, ControlServer, type Handler } from './ipc/server.js';
import type { OwnFiles } from './node/own-files.js';
import type { RunOptions } from './options.js';
import type { Service } from './service.js';

type EndpointOptions = Pick<RunOptions, 'health' | 'metrics' | 'runDir'>;

interface Answers {
  /** Returns why the node is not ready; null once it is. */
  notReady(): string | null;
  answer: Handler;
  capture: CaptureHandler;
  /** Returns the running node; undefined before the devices exist. */
  service(): Service | undefined;
}

export class Endpoints {
  private readonly options: EndpointOptions;
  private readonly files: OwnFiles;
  private readonly answers: Answers;
  private health: HealthServer | undefined;
  private control: ControlServer | undefined;

  /** `files` keeps the control socket from `open` on. */
  constructor(options: EndpointOptions, files: OwnFiles, answers: Answers) {
    this.options = options;
    this.files = files;
    this.answers = answers;
  }

  /** Listens on both. The HTTP server is loaded only if it is enabled. @throws UserError */
  async open(role?: 'successor'): Promise<void> {
    const { health, metrics, runDir } = this.options;
    const { notReady, answer, capture, service } = this.answers;
    this.control = await ControlServer.listen(runDir, answer, role, capture);
    this.files.keep('runDir', this.control);
    if (health.port === 0) return;
    const { listenHealth } = await import('./health.js');
    const { Metrics } = await import('./metrics/metrics.js');
    const page = new Metrics({ notReady, service, mostPeers: metrics.peers });
    this.health = await listenHealth(health, notReady, () => page.page());
  }

  async closeHealth(): Promise<void> {
    await this.health?.close();
  }

  async closeControl(): Promise<void> {
    await this.control?.close();
  }
}
