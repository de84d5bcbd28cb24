/** An etcd that cannot be used just now: said at once, then once a minute, and once when it is over. */

import { info, verbose, warn } from '../../log.js';

export class Outage {
  private readonly sayEveryMs: number;
  private readonly graceMs: number;
  private since = 0;
  private saidAt = 0;
  private kind: string | number | undefined;
  private sentence: string | null = null;

  /** @param graceMs an outage is no trouble until it has lasted for so long */
  constructor(sayEveryMs: number, graceMs: number) {
    this.sayEveryMs = sayEveryMs;
    this.graceMs = graceMs;
  }

  /** What is wrong; null when nothing is, or not for long. */
  get trouble(): string | null {
    return this.sentence !== null && performance.now() - this.since >= this.graceMs ? this.sentence : null;
  }

  /** It is still, or again, not usable. Another `kind` of reason is news. */
  report(kind: string | number, sentence: string): void {
    const now = performance.now();
    if (this.sentence === null) this.since = now;
    this.sentence = sentence;
    if (this.kind === kind && now - this.saidAt < this.sayEveryMs) {
      verbose(2, sentence);
      return;
    }
    this.kind = kind;
    this.saidAt = now;
    warn(sentence);
  }

  /** It works; `sentence` is said when it had not. */
  end(sentence: string): void {
    if (this.sentence !== null) info(sentence);
    this.sentence = null;
    this.kind = undefined;
  }
}
