/** A lease source that cannot be reached just now: said, said again once a minute, and once when it is over. */

import { info, verbose, warn } from '../support/log.js';

export interface OutageTimes {
  /** It is no trouble until it has lasted for so long. */
  graceMs: number;
  /** It is not spoken of until it has lasted for so long. */
  quietMs: number;
  /** And then so often; a minute where nothing is said. */
  sayEveryMs?: number;
}

const MINUTE_MS = 60_000;

export class Outage {
  private readonly times: Required<OutageTimes>;
  private since = 0;
  private saidAt: number | undefined;
  private kind: string | number | undefined;
  private sentence: string | null = null;

  constructor(times: OutageTimes) {
    this.times = { sayEveryMs: MINUTE_MS, ...times };
  }

  /** What is wrong; null when nothing is, or not for long. */
  get trouble(): string | null {
    return this.sentence !== null && this.lastedMs() >= this.times.graceMs ? this.sentence : null;
  }

  /** It is still, or again, not to be reached. Another `kind` of reason is news. */
  report(sentence: string, kind: string | number = ''): void {
    if (this.sentence === null) this.since = performance.now();
    this.sentence = sentence;
    if (this.lastedMs() < this.times.quietMs) return;
    const now = performance.now();
    if (this.saidAt !== undefined && this.kind === kind && now - this.saidAt < this.times.sayEveryMs) {
      verbose(2, sentence);
      return;
    }
    this.kind = kind;
    this.saidAt = now;
    warn(sentence);
  }

  /** It is reached; `sentence` is said when the outage was spoken of. */
  end(sentence: string): void {
    if (this.saidAt !== undefined) info(sentence);
    this.sentence = null;
    this.saidAt = undefined;
    this.kind = undefined;
  }

  private lastedMs(): number {
    return performance.now() - this.since;
  }
}
