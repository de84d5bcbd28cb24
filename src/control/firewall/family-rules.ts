/** The desired rules of one family, ensured in one rule store. */

import { info } from '../support/log.js';
import { type FirewallOptions, NO_RULES, type RuleSets, type RuleStore } from './rules.js';

export class FamilyRules {
  private readonly store: RuleStore;
  private readonly mode: FirewallOptions['mode'];
  private desired = NO_RULES;
  /** The desired rules as the firewall prints them; undefined until they are written. */
  private lines: readonly string[] | undefined;
  /** How often `ensure` restored rules that were missing or changed. */
  repairs = 0;

  constructor(store: RuleStore, mode: FirewallOptions['mode']) {
    this.store = store;
    this.mode = mode;
  }

  /** Sets the rules that the next `ensure` writes. */
  replace(desired: RuleSets): void {
    this.desired = desired;
    this.lines = undefined;
  }

  /** Writes the desired rules unless they are present. @throws Error */
  async ensure(): Promise<void> {
    const { store, desired } = this;
    const drifted = this.lines !== undefined;
    if (this.lines !== undefined) {
      const lines = await store.read(desired);
      if (lines.join('\n') === this.lines.join('\n')) return await this.improve();
      info(`Some ${this.mode} rules are missing; deleting and recreating rules`);
      this.lines = undefined;
    }
    await store.write(desired);
    const lines = await store.read(desired);
    if (!store.isComplete(lines, desired)) throw new Error('another program changed them at the same time');
    this.lines = lines;
    if (desired !== NO_RULES) info('bootstrap done');
    if (drifted) this.repairs++;
  }

  /** What the rules lack because of the kernel, as log lines. */
  get losses(): readonly string[] {
    return this.store.losses;
  }

  /** Determines the losses of the desired rules; changes no rule in use. @throws Error */
  async probe(): Promise<void> {
    await this.store.probe(this.desired);
  }

  /** Completes rules that lack something, if a module was loaded meanwhile. */
  private async improve(): Promise<void> {
    const { store, desired } = this;
    if (store.losses.length === 0) return;
    await store.improve(desired);
    this.lines = await store.read(desired);
  }
}
