/** The node's firewall rules: installed, checked periodically, and restored after a change. */

import { setMaxListeners } from 'node:events';
import { access } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { formatCidr } from '../addresses/cidr.js';
import { FAMILIES, type Family } from '../addresses/family.js';
import { Announcer } from '../obstacles/announcer.js';
import type { Obstacle } from '../obstacles/obstacle.js';
import type { PodSubnets } from '../subnet-env.js';
import { info, verbose, warn } from '../support/log.js';
import { OncePerKey } from '../support/once.js';
import { Serial } from '../support/serial.js';
import { UserError } from '../support/user-error.js';
import { FamilyRules } from './family-rules.js';
import { isLegacyTableLoaded } from './legacy-tables.js';
import {
  allLocations,
  type IptablesChoice,
  locationsFor,
  type RuleLocation,
  type RuleLocations,
} from './locations.js';
import { type FirewallOptions, forwardRules, masqRules, type RuleSets } from './rules.js';

/** The pod networks of one family. */
interface PodRange extends PodSubnets {
  family: Family;
}

export interface FirewallRange extends PodRange {
  /** The node's previous networks, from subnet.env. They are only logged: an apply replaces all rules. */
  previous: PodSubnets | undefined;
}

/** br_netfilter's settings, which pass bridged packets to iptables. */
const BRIDGE_SETTINGS: Record<Family, string> = {
  ipv4: '/proc/sys/net/bridge/bridge-nf-call-iptables',
  ipv6: '/proc/sys/net/bridge/bridge-nf-call-ip6tables',
};

/** flannel's text for missing previous networks. */
const NO_NETWORKS: Record<Family, string> = { ipv4: '0.0.0.0/0, 0.0.0.0/0', ipv6: '::/0, ::/0' };

/**
 * Changes nothing before the first `apply`. If rules cannot be installed (another process holds the lock), it logs the
 * failure and retries with every check. `close` leaves the rules installed, as flannel does since 0.27: pods keep their
 * connections while Weft restarts.
 */
export class Firewall {
  /** What this machine lacks for the desired rules, as log lines. */
  readonly limitations: readonly string[];
  readonly options: FirewallOptions;
  /** The iptables of each family whose rules are there. */
  readonly choices: ReadonlyMap<Family, IptablesChoice>;
  private readonly ensured = new Map<Family, FamilyRules>();
  /** Locations that must have no rules, until they are cleared. */
  private stale: readonly RuleLocation[];
  /** The failures that were logged, by family and by name of a location. */
  private readonly failures = new OncePerKey();
  private readonly closing: AbortController;
  /** What the rules of each family lack because of the kernel. */
  private readonly losses = new Map<Family, Announcer>();
  private begun = false;
  private watching: readonly Promise<void>[] = [];
  /** Applies and checks run one after another: no check sees half-written rules. */
  private readonly work = new Serial();
  /** Removals of stale rules have their own queue: waiting for a lock that only they need delays no check. */
  private readonly removals = new Serial();

  private constructor(
    options: FirewallOptions,
    { used, choices, unused, limitations }: RuleLocations,
    closing: AbortController,
  ) {
    this.options = options;
    this.limitations = limitations;
    this.choices = choices;
    for (const [family, store] of used) this.ensured.set(family, new FamilyRules(store, options.mode));
    this.stale = unused;
    this.closing = closing;
  }

  /** Finds the firewalls of this machine. @throws UserError when rules are desired that this machine cannot have */
  static async open(options: FirewallOptions): Promise<Firewall> {
    const closing = new AbortController();
    // Each running command has a listener on the signal; Node.js warns of more than ten.
    setMaxListeners(0, closing.signal);
    return new Firewall(options, await locationsFor(options, closing.signal), closing);
  }

  /** How often missing or changed rules were restored. */
  get repairs(): number {
    return [...this.ensured.values()].reduce((sum, { repairs }) => sum + repairs, 0);
  }

  /** What the rules in force lack because of this machine or its kernel. */
  get obstacles(): readonly Obstacle[] {
    return [
      ...this.limitations.map(obstacleOf),
      ...[...this.losses.values()].flatMap(({ present }) => present),
    ];
  }

  /** Why families use another iptables than the machine's default, as log lines. */
  get detours(): readonly string[] {
    return [...this.choices.values()].flatMap(({ reason }) => reason ?? []);
  }

  /** Returns whether Weft runs legacy iptables: for its rules, or because the node uses a table of it. */
  async usesLegacyIptables(): Promise<boolean> {
    if ([...this.choices.values()].some(({ main }) => main?.backEnd === 'legacy')) return true;
    const loaded = FAMILIES.flatMap((family) =>
      ['filter', 'nat', 'mangle'].map((table) => isLegacyTableLoaded(family, table)),
    );
    return (await Promise.all(loaded)).includes(true);
  }

  /** Returns what the rules for these networks would lack, as log lines, and changes no rule in use. */
  async probe(range: PodRange): Promise<readonly string[]> {
    const rules = this.ensured.get(range.family);
    if (rules === undefined) return [];
    rules.replace(this.rulesFor(range));
    // A failure that is no loss, such as a held lock, is not reported: it may have passed when Weft starts.
    await rules.probe().catch(() => {});
    return rules.losses;
  }

  /**
   * Replaces all rules of a family by those for these networks, and removes stale rules. Call it again when the networks
   * change. It never rejects; if another process holds the lock, it takes until the wait for the lock ends.
   */
  async apply(range: FirewallRange): Promise<void> {
    await this.work.run(async () => {
      if (this.closed) return;
      await this.begin();
      const rules = this.ensured.get(range.family);
      if (rules === undefined || this.closed) return;
      rules.replace(this.rulesFor(range));
      this.logApply(range);
      await this.ensure(range.family, rules);
    });
    await this.removeStale();
  }

  private rulesFor(range: PodRange): RuleSets {
    const { ipMasq, forwardRules: forward } = this.options;
    return {
      masq: ipMasq ? masqRules(range.family, range) : [],
      forward: forward ? forwardRules(range) : [],
    };
  }

  /** Starts the periodic checks of the rules, and the retries of removing stale rules. */
  watch(): void {
    this.watching = [this.repeat(() => this.check()), this.repeat(() => this.removeStale())];
  }

  /** Stops the checks and the running commands; the rules stay. */
  async close(): Promise<void> {
    this.closing.abort();
    await Promise.all([...this.watching, this.work.idle(), this.removals.idle()]);
  }

  private get closed(): boolean {
    return this.closing.signal.aborted;
  }

  /** Runs a task every `resyncSeconds` until `close`. */
  private async repeat(task: () => Promise<void>): Promise<void> {
    const { signal } = this.closing;
    const wait = { signal, ref: false };
    while (!this.closed) {
      await delay(this.options.resyncSeconds * 1000, undefined, wait).catch(() => {});
      if (!this.closed) await task();
    }
  }

  private async check(): Promise<void> {
    await this.work.run(async () => {
      for (const [family, rules] of this.ensured) await this.ensure(family, rules);
    });
  }

  private async ensure(family: Family, rules: FamilyRules): Promise<void> {
    const what = `ensure ${this.options.mode} rules`;
    if (await this.attempt(family, what, () => rules.ensure())) this.failures.clear(family);
    if (this.closed) return;
    const announcer = this.losses.get(family) ?? new Announcer();
    this.losses.set(family, announcer);
    announcer.update(rules.losses.map(obstacleOf));
  }

  private async removeStale(): Promise<void> {
    await this.removals.run(async () => {
      const remaining: RuleLocation[] = [];
      for (const location of this.stale) {
        const { name, clear } = location;
        if (!(await this.attempt(name, `clean up ${name}`, clear))) remaining.push(location);
        else if (this.failures.clear(name)) info(`Cleaned up ${name}`);
      }
      this.stale = remaining;
    });
  }

  /** Runs a step, and logs a failure once: forwarding continues, and the next check retries the step. */
  private async attempt(key: string, what: string, step: () => Promise<unknown>): Promise<boolean> {
    if (this.closed) return false;
    try {
      await step();
      return true;
    } catch (error) {
      const { resyncSeconds } = this.options;
      const { message } = error as Error;
      if (!this.closed)
        this.failures.log(key, `Failed to ${what}: ${message}; retrying every ${resyncSeconds} s`);
      return false;
    }
  }

  /** Logs the start as flannel does, and creates the empty tables of families that the pod network lacks. */
  private async begin(): Promise<void> {
    if (this.begun) return;
    this.begun = true;
    const { mode, families } = this.options;
    info('Cleaning-up unused traffic manager rules');
    info(`Cleaning-up ${mode === 'iptables' ? 'nftables' : 'iptables'} rules...`);
    if (this.ensured.size === 0 || this.closed) return;
    info(`Starting flannel in ${mode} mode...`);
    if (mode === 'iptables') for (const family of families) await checkBridge(family);
    for (const [family, rules] of this.ensured) {
      if (families.includes(family)) continue;
      await rules.ensure().catch((error: Error) => {
        // A kernel without IPv6 has no such table and needs none.
        verbose(2, `no table for ${family}: ${error.message}`);
        this.ensured.delete(family);
      });
    }
  }

  /** Logs the change in flannel's words. */
  private logApply(range: FirewallRange): void {
    const { family, previous } = range;
    const { mode, ipMasq, forwardRules: forward } = this.options;
    const ipv6 = family === 'ipv6';
    if (mode === 'nftables') {
      if (ipMasq) info(`nftables: setting up masking rules (${family})`);
      if (forward) info(`Changing default FORWARD chain policy to ACCEPT${ipv6 ? ' (ipv6)' : ''}`);
      return;
    }
    const now = networksText(range);
    const before = previous === undefined ? NO_NETWORKS[family] : networksText(previous);
    if (ipMasq && before !== now) {
      info(
        `Current network or subnet (${now}) is not equal to previous one (${before}), trying to recycle old iptables rules`,
      );
    }
    if (ipMasq) info(`Setting up masking rules${ipv6 ? ' for IPv6' : ''}`);
    if (forward) info(`${ipv6 ? 'IPv6: ' : ''}Changing default FORWARD chain policy to ACCEPT`);
  }
}

function networksText({ network, subnet }: PodSubnets): string {
  return `${formatCidr(network)}, ${formatCidr(subnet)}`;
}

/**
 * Removes all rules of Weft and flannel, from every firewall and back end, and reports each location that had some.
 * @throws UserError naming the rules that remain, after all others are removed
 */
export async function removeRules(onRemoved: (location: string) => void): Promise<void> {
  const failures: string[] = [];
  for (const { name, clear } of await allLocations()) {
    try {
      if (await clear()) onRemoved(name);
    } catch (error) {
      failures.push(`failed to remove the rules in ${name}: ${(error as Error).message}`);
    }
  }
  if (failures.length > 0) throw new UserError(`${failures.join('; ')}; then run weft cleanup again`);
}

function obstacleOf(message: string): Obstacle {
  return { key: `firewall rules ${message}`, message };
}

/** Warns if br_netfilter is not loaded. flannel refuses to start then; Weft leaves the choice to the operator. */
async function checkBridge(family: Family): Promise<void> {
  const path = BRIDGE_SETTINGS[family];
  try {
    await access(path);
  } catch {
    warn(
      `Failed to check br_netfilter: stat ${path}: no such file or directory; pods of this node cannot reach each other through a Service without it: modprobe br_netfilter`,
    );
  }
}
