/** The desired rules of one family, ensured in one rule store. */

import { info } from '../support/log.js';
import { loadedModules } from './loaded-modules.js';
import { type FirewallOptions, NO_RULES, type RuleSets, type RuleStore } from './rules.js';

/** How long Weft waits before it offers the kernel the refused rules again, although the same modules are loaded. */
const RETRY_MS = 60_000;

export class FamilyRules {
  private readonly store: RuleStore;
  private readonly mode: FirewallOptions['mode'];
  private desired = NO_RULES;
  /** The desired rules as the firewall prints them; undefined until they are written. */
  private lines: readonly string[] | undefined;
  /** How often `ensure` restored rules that were missing or changed. */
  repairs = 0;

  /** When the kernel was last offered the complete rules, and the modules that were loaded then. */
  private attempt = { at: 0, modules: '' };
  private readonly modules: () => Promise<string>;
  private readonly now: () => number;

  /** `modules` returns the loaded modules, and `now` milliseconds of a steady clock. */
  constructor(
    store: RuleStore,
    mode: FirewallOptions['mode'],
    modules = loadedModules,
    now = () => performance.now(),
  ) {
    this.store = store;
    this.mode = mode;
    this.modules = modules;
    this.now = now;
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
    this.attempt = { at: this.now(), modules: await this.modules() };
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

  /** Completes rules that lack something. The kernel runs modprobe for each attempt, so only a new module is a reason. */
  private async improve(): Promise<void> {
    const { store, desired, attempt } = this;
    if (store.losses.length === 0) return;
    const modules = await this.modules();
    if (modules === attempt.modules && this.now() - attempt.at < RETRY_MS) return;
    this.attempt = { at: this.now(), modules };
    await store.improve(desired);
    this.lines = await store.read(desired);
  }
}
