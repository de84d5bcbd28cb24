/** Where a run answers: the health endpoints and the control socket. */

import type { HealthServer } from './health.js';
import { type CaptureHandler, ControlServer, type Handler } from './ipc/server.js';
import type { OwnFiles } from './node/own-files.js';
import type { RunOptions } from './options.js';

interface Answers {
  /** Returns why the node is not ready; null once it is. */
  notReady(): string | null;
  answer: Handler;
  capture: CaptureHandler;
}

export class Endpoints {
  private readonly options: Pick<RunOptions, 'health' | 'runDir'>;
  private readonly files: OwnFiles;
  private readonly answers: Answers;
  private health: HealthServer | undefined;
  private control: ControlServer | undefined;

  /** `files` keeps the control socket from `open` on. */
  constructor(options: Pick<RunOptions, 'health' | 'runDir'>, files: OwnFiles, answers: Answers) {
    this.options = options;
    this.files = files;
    this.answers = answers;
  }

  /** Listens on both. The HTTP server is loaded only if it is enabled. @throws UserError */
  async open(role?: 'successor'): Promise<void> {
    const { health, runDir } = this.options;
    const { notReady, answer, capture } = this.answers;
    this.control = await ControlServer.listen(runDir, answer, role, capture);
    this.files.keep('runDir', this.control);
    if (health.port === 0) return;
    const { listenHealth } = await import('./health.js');
    this.health = await listenHealth(health, notReady);
  }

  async closeHealth(): Promise<void> {
    await this.health?.close();
  }

  async closeControl(): Promise<void> {
    await this.control?.close();
  }
}
