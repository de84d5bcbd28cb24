/** The node's firewall rules held as they are to be: put in place, looked at again and again, and repaired. */

import { access } from 'node:fs/promises';
import { formatCidr } from '../addresses/cidr.js';
import type { Family } from '../addresses/family.js';
import type { PodSubnets } from '../subnet-env.js';
import { info, verbose, warn } from '../support/log.js';
import { UserError } from '../support/user-error.js';
import { everywhere, type Place, type Places, placesFor } from './places.js';
import {
  type FirewallOptions,
  forwardRules,
  masqRules,
  NO_RULES,
  type RuleSets,
  type Tables,
} from './rules.js';

/** The pod networks of one family. */
export interface FirewallRange extends PodSubnets {
  family: Family;
  /** Those this node had before, by its subnet.env; undefined without one. They are only told: all old rules go. */
  previous: PodSubnets | undefined;
}

/** What is tried again with every look until it is done. */
interface Task {
  /** What was last said of it, so as to say it once. */
  complaint: string | undefined;
}

/** A family's rules in the firewall. */
interface Held extends Task {
  readonly tables: Tables;
  wanted: RuleSets;
  /** The wanted rules as the firewall prints them; undefined until they are in place. */
  lines: readonly string[] | undefined;
}

/** Rules of ours where none are to be, for all that is known. */
interface Leftover extends Task {
  readonly place: Place;
}

/** Where the kernel is told to show bridged packets to iptables (br_netfilter). */
const BRIDGE_SETTINGS: Record<Family, string> = {
  ipv4: '/proc/sys/net/bridge/bridge-nf-call-iptables',
  ipv6: '/proc/sys/net/bridge/bridge-nf-call-ip6tables',
};

/** How flannel writes networks that there are none of. */
const NONE: Record<Family, string> = { ipv4: '0.0.0.0/0', ipv6: '::/0' };

/**
 * Nothing is changed before `apply`. What cannot be put in place then (another process holds the lock) is logged, and
 * tried again with every look. `close` leaves the rules where they are, as flannel does since 0.27: pods keep their
 * connections while Weft is restarted; it ends what is at work.
 */
export class Firewall {
  /** What of the rules cannot be had on this machine, for people. */
  readonly lacks: readonly string[];
  private readonly options: FirewallOptions;
  private readonly held: Map<Family, Held>;
  private leftovers: readonly Leftover[];
  private readonly ending: AbortController;
  private begun = false;
  private timer: NodeJS.Timeout | undefined;
  /** One thing at a time: nobody looks at rules that are half written. */
  private work: Promise<void> = Promise.resolve();
  private removing: Promise<void> | undefined;
  private repaired = 0;

  private constructor(options: FirewallOptions, { used, unused, lacks }: Places, ending: AbortController) {
    this.options = options;
    this.lacks = lacks;
    this.held = new Map(
      [...used].map(([family, tables]) => [
        family,
        { tables, wanted: NO_RULES, lines: undefined, complaint: undefined },
      ]),
    );
    this.leftovers = unused.map((place) => ({ place, complaint: undefined }));
    this.ending = ending;
  }

  /** Finds out what this machine has. @throws UserError when rules are wanted and there is no way to make them */
  static async open(options: FirewallOptions): Promise<Firewall> {
    const ending = new AbortController();
    return new Firewall(options, await placesFor(options, ending.signal), ending);
  }

  /** How often rules were found missing or changed, and put back. */
  get repairs(): number {
    return this.repaired;
  }

  /**
   * Puts the rules for these networks in place of all that this node had before; the first time, it removes what is left
   * in the other firewall. Call it again when the networks change. While another process holds the lock it takes as long
   * as that is waited for; it never rejects.
   */
  async apply(range: FirewallRange): Promise<void> {
    await this.enqueue(async () => {
      await this.begin();
      const held = this.held.get(range.family);
      if (held === undefined || this.closed) return;
      const { ipMasq, forwardRules: forward } = this.options;
      held.wanted = {
        masq: ipMasq ? masqRules(range.family, range) : [],
        forward: forward ? forwardRules(range) : [],
      };
      held.lines = undefined;
      this.announce(range);
      await this.ensure(held, () => this.put(held));
    });
    await this.removeLeftovers();
  }

  /** Looks at the rules from now on, as long as there are any that are to be there or to go. */
  watch(): void {
    if (this.closed || (this.held.size === 0 && this.leftovers.length === 0)) return;
    this.timer = setTimeout(async () => {
      await this.enqueue(() => this.look());
      this.watch();
    }, this.options.resyncSeconds * 1000);
    this.timer.unref();
  }

  /** Stops looking, and whatever is at work; the rules stay. */
  async close(): Promise<void> {
    this.ending.abort();
    clearTimeout(this.timer);
    await Promise.all([this.work, this.removing]);
  }

  private get closed(): boolean {
    return this.ending.signal.aborted;
  }

  private enqueue(step: () => Promise<void>): Promise<void> {
    this.work = this.work.then(() => (this.closed ? undefined : step()));
    return this.work;
  }

  private async begin(): Promise<void> {
    if (this.begun) return;
    this.begun = true;
    const { mode, families } = this.options;
    info('Cleaning-up unused traffic manager rules');
    info(`Cleaning-up ${mode === 'iptables' ? 'nftables' : 'iptables'} rules...`);
    if (this.held.size === 0 || this.closed) return;
    info(`Starting flannel in ${mode} mode...`);
    if (mode === 'iptables') for (const family of families) await checkBridge(family);
    for (const family of this.held.keys()) if (!families.includes(family)) await this.putEmpty(family);
  }

  /** Where there is no such table, as without IPv6, nothing is missed. */
  private async putEmpty(family: Family): Promise<void> {
    try {
      await this.put(this.held.get(family) as Held);
    } catch (error) {
      verbose(2, `no table for ${family}: ${(error as Error).message}`);
      this.held.delete(family);
    }
  }

  private announce({ family, network, subnet, previous }: FirewallRange): void {
    const now = textOf({ network, subnet });
    const before =
      previous === undefined ? { network: NONE[family], subnet: NONE[family] } : textOf(previous);
    const { mode, ipMasq, forwardRules: forward } = this.options;
    const ipv6 = family === 'ipv6';
    if (mode === 'nftables') {
      if (ipMasq) info(`nftables: setting up masking rules (${family})`);
      if (forward) info(`Changing default FORWARD chain policy to ACCEPT${ipv6 ? ' (ipv6)' : ''}`);
      return;
    }
    if (ipMasq && (before.network !== now.network || before.subnet !== now.subnet)) {
      info(
        `Current network or subnet (${now.network}, ${now.subnet}) is not equal to previous one (${before.network}, ${before.subnet}), trying to recycle old iptables rules`,
      );
    }
    if (ipMasq) info(`Setting up masking rules${ipv6 ? ' for IPv6' : ''}`);
    if (forward) info(`${ipv6 ? 'IPv6: ' : ''}Changing default FORWARD chain policy to ACCEPT`);
  }

  private async look(): Promise<void> {
    for (const held of this.held.values()) await this.ensure(held, () => this.compare(held));
    void this.removeLeftovers();
  }

  /** Beside everything else: a lock that only they need is to keep no rule waiting. */
  private removeLeftovers(): Promise<void> {
    this.removing ??= this.tryLeftovers().finally(() => {
      this.removing = undefined;
    });
    return this.removing;
  }

  private async tryLeftovers(): Promise<void> {
    const stay: Leftover[] = [];
    for (const leftover of this.leftovers) {
      if (this.closed) return;
      const { place, complaint } = leftover;
      const gone = await this.attempt(leftover, `clean up ${place.name}`, place.clear);
      if (!gone) stay.push(leftover);
      else if (complaint !== undefined) info(`Cleaned up ${place.name}`);
    }
    this.leftovers = stay;
  }

  private async compare(held: Held): Promise<void> {
    if (held.lines === undefined) return await this.put(held);
    const lines = await held.tables.read(held.wanted);
    if (lines.join('\n') === held.lines.join('\n')) return;
    info(`Some ${this.options.mode} rules are missing; deleting and recreating rules`);
    held.lines = undefined;
    await this.put(held);
    this.repaired++;
  }

  private async put(held: Held): Promise<void> {
    const { tables, wanted } = held;
    await tables.write(wanted);
    const lines = await tables.read(wanted);
    if (!tables.isWhole(lines, wanted)) throw new Error('another program changes them at the same time');
    held.lines = lines;
    if (wanted !== NO_RULES) info('bootstrap done');
  }

  private async ensure(held: Held, step: () => Promise<void>): Promise<void> {
    await this.attempt(held, `ensure ${this.options.mode} rules`, step);
  }

  /** A failure is no reason to stop forwarding: it is told once, and what failed is tried again with the next look. */
  private async attempt(task: Task, what: string, step: () => Promise<unknown>): Promise<boolean> {
    try {
      await step();
      task.complaint = undefined;
      return true;
    } catch (error) {
      if (this.closed) return false;
      const complaint = `Failed to ${what}: ${(error as Error).message}; trying again every ${this.options.resyncSeconds} s`;
      if (complaint !== task.complaint) warn(complaint);
      task.complaint = complaint;
      return false;
    }
  }
}

/**
 * Removes every rule of ours, whichever firewall and back end has it, and tells where there were some.
 * @throws UserError naming what stays, after all else is gone
 */
export async function removeRules(onRemoved: (place: string) => void): Promise<void> {
  const failures: string[] = [];
  for (const { name, clear } of await everywhere()) {
    try {
      if (await clear()) onRemoved(name);
    } catch (error) {
      failures.push(`the rules in ${name} cannot be removed: ${(error as Error).message}`);
    }
  }
  if (failures.length > 0) throw new UserError(`${failures.join('; ')}; then try again`);
}

function textOf({ network, subnet }: PodSubnets): { network: string; subnet: string } {
  return { network: formatCidr(network), subnet: formatCidr(subnet) };
}

/** Without br_netfilter flannel does not start; here it is the operator's choice. */
async function checkBridge(family: Family): Promise<void> {
  const path = BRIDGE_SETTINGS[family];
  try {
    await access(path);
  } catch {
    warn(
      `Failed to check br_netfilter: stat ${path}: no such file or directory; pods of this node then reach each other through a Service only with: modprobe br_netfilter`,
    );
  }
}
