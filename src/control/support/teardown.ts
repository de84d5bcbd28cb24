/**
 * What has to be undone when Weft stops, in the reverse order of the start. No step can keep the others from running: one
 * that fails is logged, and one that takes too long is abandoned.
 */

import { within } from '../../sys/within.js';
import { killCommands } from './command.js';
import { warn } from './log.js';

type Step = () => Promise<void> | void;

interface NamedStep {
  /** Noun phrase, for the log. */
  name: string;
  step: Step;
}

/** Time limits in milliseconds. */
export interface TeardownLimits {
  /** Of one step. Then its commands are killed, after which it has `least` to end. */
  step: number;
  /** Of all steps; those that are left then have `least` each. */
  all: number;
  least: number;
}

/** They leave time to exit within the two seconds that Weft promises. */
const LIMITS: TeardownLimits = { step: 500, all: 1400, least: 30 };

export class Teardown {
  private readonly limits: TeardownLimits;
  private readonly steps: NamedStep[] = [];
  private running: Promise<void> | undefined;

  constructor(limits = LIMITS) {
    this.limits = limits;
  }

  /** Adds a step that runs before those added earlier; runs it at once if the others have run. */
  defer(name: string, step: Step): void {
    this.steps.push({ name, step });
    if (this.running !== undefined) this.running = this.running.then(() => this.runAll());
  }

  /** Runs every step once, each even if another one fails or hangs. Never rejects. */
  run(): Promise<void> {
    this.running ??= this.runAll();
    return this.running;
  }

  private async runAll(): Promise<void> {
    const { step: most, all, least } = this.limits;
    const end = performance.now() + all;
    for (let next = this.steps.pop(); next !== undefined; next = this.steps.pop()) {
      const limit = Math.max(least, Math.min(most, end - performance.now()));
      await this.runStep(next, limit);
    }
  }

  private async runStep({ name, step }: NamedStep, limit: number): Promise<void> {
    try {
      const done = Promise.resolve(step());
      if (await within(done, limit)) return;
      killCommands();
      if (!(await within(done, this.limits.least)))
        warn(`shutdown: ${name} did not end within ${Math.round(limit)} ms; abandoning it`);
    } catch (error) {
      warn(`shutdown: ${name}: ${(error as Error).message}`);
    }
  }
}
