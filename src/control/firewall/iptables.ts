/**
 * Rules in iptables or ip6tables, with either back end. Each table has one chain of Weft, and one jump to it from the
 * kernel's chain.
 */

import type { Family } from '../addresses/family.js';
import { NOT_FOUND, type Outcome, reason, run } from '../support/command.js';
import { chainInUse, IPTABLES_CHAINS, type IptablesChain } from './chains.js';
import {
  isForbidden,
  isNoTable,
  throwUnlessDone,
  unlessNoNfTables,
  withCapability,
} from './iptables-errors.js';
import { clearIptablesChains, deleteNftJumps, nftJumps } from './iptables-nft.js';
import { emptyingText, jumpRule, jumpsAmong, restoreText } from './iptables-text.js';
import { type BackEnd, backEndOf, isRecent } from './iptables-version.js';
import { isLegacyTableLoaded } from './legacy-tables.js';
import { lossLine } from './losses.js';
import { choicesOf, type Missing, NoTable, partsOf, Reduction, reduceRules } from './reduction.js';
import type { Rule, RuleSets, RuleStore } from './rules.js';

const COMMANDS = { ipv4: 'iptables', ipv6: 'ip6tables' };

/** Chains by which kubelet shows its back end: the hint since Kubernetes 1.24, the canary since 1.17. */
const KUBELET_CHAIN = /^-N KUBE-(IPTABLES-HINT|KUBELET-CANARY)$/m;

/** A rule that jumps to a chain of Weft, as iptables prints it; with nft's handle where only nft can print it. */
interface Jump {
  readonly rule: string;
  readonly handle?: string;
}

export interface IptablesOptions {
  /** Whether to masquerade with --random-fully where iptables supports it; false by default. */
  randomFully?: boolean;
  /** Seconds to wait for the lock that other users of iptables hold. */
  waitSeconds: number;
  /** Stops the running command. */
  signal?: AbortSignal | undefined;
}

export class Iptables implements RuleStore {
  readonly command: string;
  readonly backEnd: BackEnd;
  private readonly family: Family;
  private readonly randomFully: boolean;
  private readonly wait: readonly string[];
  private readonly signal: AbortSignal | undefined;
  /** What the rules of each chain do without. */
  private readonly reductions = new Map(IPTABLES_CHAINS.map((chain) => [chain, new Reduction()]));

  private constructor(command: string, family: Family, version: string, options: IptablesOptions) {
    this.command = command;
    this.family = family;
    this.backEnd = backEndOf(version);
    const recent = isRecent(version);
    this.randomFully = options.randomFully === true && recent;
    this.signal = options.signal;
    this.wait = recent ? [`--wait=${options.waitSeconds}`] : [];
  }

  /**
   * Returns the installed commands of a family, one for each back end. The first one is the machine's default; it is
   * undefined if it is missing.
   */
  static async find(
    family: Family,
    options: IptablesOptions,
  ): Promise<[Iptables | undefined, ...Iptables[]]> {
    const names = ['', '-nft', '-legacy'].map((suffix) => `${COMMANDS[family]}${suffix}`);
    const [main, ...others] = await Promise.all(
      names.map(async (name) => {
        const { code, stdout } = await run(name, ['--version'], '', options.signal);
        return code === 0 ? new Iptables(name, family, stdout, options) : undefined;
      }),
    );
    const apart = others.filter((other) => other !== undefined && other.backEnd !== main?.backEnd);
    return [main, ...(apart as Iptables[])];
  }

  get losses(): string[] {
    const lines = [...this.reductions].flatMap(([{ table }, { missing }]) =>
      [...missing].map((part) =>
        lossLine(part, { command: this.command, interface: this.backEnd, family: this.family, table }),
      ),
    );
    return [...new Set(lines)];
  }

  async read(desired: RuleSets): Promise<string[]> {
    const chains = chainsOf(desired).filter((chain) => !this.missingFor(chain).has('table'));
    return (await Promise.all(chains.map((chain) => this.linesOf(chain)))).flat();
  }

  isComplete(lines: readonly string[], desired: RuleSets): boolean {
    const counts = chainsOf(desired).map((chain) => {
      const missing = this.missingFor(chain);
      return missing.has('table') ? 0 : reduceRules(desired[chain.set], missing).length + 1;
    });
    return lines.length === counts.reduce((sum, count) => sum + count, 0);
  }

  /** Writes both tables even if the kernel lacks one of them. */
  async write(desired: RuleSets): Promise<void> {
    await this.replaceEach(chainsOf(desired), desired, 'search');
  }

  async improve(desired: RuleSets): Promise<void> {
    const reduced = chainsOf(desired).filter((chain) => this.missingFor(chain).size > 0);
    await this.replaceEach(reduced, desired, 'retry');
  }

  private async replaceEach(
    chains: readonly IptablesChain[],
    desired: RuleSets,
    how: 'search' | 'retry',
  ): Promise<void> {
    await forEach(chains, (chain) => {
      const rules = desired[chain.set];
      return this.reduce(chain, rules, async (reduction, choices) => {
        const jumps = await this.presentJumps(chain);
        await reduction[how](choices, (missing) => this.replace(chain, rules, jumps, missing));
      });
    });
  }

  /**
   * Tries the rules in a network namespace of its own, which disappears with the command. Without the right to have one,
   * the command only parses them: that finds missing matches and targets.
   */
  async probe(desired: RuleSets): Promise<void> {
    const restore = [`${this.command}-restore`, '--noflush', ...this.wait];
    await forEach(chainsOf(desired), (chain) =>
      this.reduce(chain, desired[chain.set], (reduction, choices) =>
        reduction.search(choices, async (missing) => {
          const text = restoreText(chain, desired[chain.set], [], this.randomFully, missing);
          let outcome = await run('unshare', ['--net', ...restore], text, this.signal);
          if (outcome.code === NOT_FOUND || outcome.stderr.startsWith('unshare:'))
            outcome = await run(restore[0] as string, [...restore.slice(1), '--test'], text, this.signal);
          throwUnlessDone(restore[0] as string, outcome);
        }),
      ),
    );
  }

  /** Runs a step on a chain, and records that the kernel lacks the chain's table. */
  private async reduce(
    chain: IptablesChain,
    rules: readonly Rule[],
    step: (reduction: Reduction, choices: Missing[]) => Promise<void>,
  ): Promise<void> {
    const reduction = this.reductions.get(chain) as Reduction;
    const parts = partsOf(rules, { comments: true, randomFully: this.randomFully });
    try {
      await step(reduction, choicesOf(parts));
    } catch (error) {
      if (!(error instanceof NoTable)) throw error;
      reduction.loseTable();
    }
  }

  private missingFor(chain: IptablesChain): Missing {
    return (this.reductions.get(chain) as Reduction).missing;
  }

  private async presentJumps(chain: IptablesChain): Promise<Jump[]> {
    const jumps = await this.jumpsTo(chain);
    if (jumps !== undefined) return jumps;
    // Only a new chain certainly has no jumps. For an existing chain each write would add one more.
    if (await this.create(chain)) return [];
    throw this.unprintable(chain);
  }

  /** Writes a chain in one transaction. The jumps that only nft can delete go last: a refusal changes nothing. */
  private async replace(
    chain: IptablesChain,
    rules: readonly Rule[],
    jumps: readonly Jump[],
    missing: Missing,
  ): Promise<void> {
    const printed = jumps.flatMap(({ rule, handle }) => (handle === undefined ? rule : []));
    await this.restore(restoreText(chain, rules, printed, this.randomFully, missing));
    const handles = jumps.flatMap(({ handle }) => handle ?? []);
    await deleteNftJumps(this.family, chain, handles, this.signal);
  }

  /** Returns whether kubelet's chains are in this back end. A table that is not in use is not loaded. */
  async hasKubelet(): Promise<boolean> {
    if (!(await this.isLoaded('mangle'))) return false;
    const { stdout } = await this.runOn('mangle', '--list-rules');
    return KUBELET_CHAIN.test(stdout);
  }

  /** Returns whether this process lacks the capability to look for kubelet's chains. */
  async isForbidden(): Promise<boolean> {
    if (!(await this.isLoaded('mangle'))) return false;
    return isForbidden((await this.runOn('mangle', '--list-rules')).stderr);
  }

  /** Deletes these chains and the jumps to them. Returns true if one existed. @throws Error */
  async clear(chains: readonly IptablesChain[]): Promise<boolean> {
    let found = false;
    await forEach(chains, async (chain) => {
      if (await this.clearChain(chain)) found = true;
    });
    return found;
  }

  private async clearChain(chain: IptablesChain): Promise<boolean> {
    if (!(await this.isLoaded(chain.table))) return false;
    const own = await this.list(chain.table, chain.name).catch(unlessNoNfTables);
    const base = own && (await this.list(chain.table, chain.base));
    if (base !== undefined) {
      await this.restore(emptyingText(chain, jumpsAmong(base, chain)));
      // In a transaction of its own: the chain stays empty if another rule jumps to it.
      const outcome = await this.runOn(chain.table, '--delete-chain', chain.name);
      if (outcome.code !== 0) throw chainInUse(chain, reason(outcome));
      return true;
    }
    if (this.backEnd === 'legacy') return false;
    const cleared = await clearIptablesChains(this.family, [chain], this.signal);
    if (!cleared && own !== undefined) throw this.unprintable(chain);
    return cleared;
  }

  /** Returns the jumps to a chain, then its rules. */
  private async linesOf(chain: IptablesChain): Promise<string[]> {
    const [own, jumps] = await Promise.all([this.list(chain.table, chain.name), this.jumpsTo(chain)]);
    if (jumps === undefined) throw this.unprintable(chain);
    return [...jumps.map(({ rule }) => rule), ...(own ?? []).filter((line) => line.startsWith('-A '))];
  }

  /** Returns the jumps to a chain; undefined if neither iptables nor nft can list them. */
  private async jumpsTo(chain: IptablesChain): Promise<Jump[] | undefined> {
    const base = await this.list(chain.table, chain.base);
    if (base !== undefined) return jumpsAmong(base, chain).map((rule) => ({ rule }));
    if (this.backEnd === 'legacy') return [];
    const jumps = await nftJumps(this.family, chain, this.signal);
    return jumps?.map(({ text, handle }) => ({
      // Whether iptables or nft prints the plain jump, the line is the same: it is no drift.
      rule: text === `jump ${chain.name}` ? jumpRule(chain, this.missingFor(chain)) : text,
      handle,
    }));
  }

  /**
   * Returns the lines of a chain. Returns undefined if the chain does not exist or, with nf_tables, if it has a rule of
   * another program that only nft can print.
   */
  private async list(table: string, chain: string): Promise<string[] | undefined> {
    const outcome = await this.runOn(table, '--list-rules', chain);
    if (outcome.code === 0) return outcome.stdout.split('\n').filter(Boolean);
    // Exit code 1 means such a chain; a held lock or a missing table has another code.
    if (outcome.code === 1) return undefined;
    const what = `${this.command} --table ${table} --list-rules ${chain}: ${reason(outcome)}`;
    throw isNoTable(what) ? new NoTable(what) : new Error(withCapability(what, this.backEnd));
  }

  /** Creates a chain. Returns false if it existed. */
  private async create({ table, name }: IptablesChain): Promise<boolean> {
    const outcome = await this.runOn(table, '--new-chain', name);
    if (outcome.code === 0) return true;
    if (outcome.stderr.includes('already exists')) return false;
    throw new Error(`${this.command} --table ${table} --new-chain ${name}: ${reason(outcome)}`);
  }

  private unprintable({ table, base, name }: IptablesChain): Error {
    return new Error(
      `${this.command} cannot print ${base} of table ${table}, because another program added rules to it with nft; Weft leaves the jumps to ${name} unchanged until nftables is installed (apt-get install nftables)`,
    );
  }

  private runOn(table: string, ...args: string[]): Promise<Outcome> {
    return run(this.command, [...this.wait, '--table', table, ...args], '', this.signal);
  }

  private async restore(text: string): Promise<void> {
    const command = `${this.command}-restore`;
    const outcome = await run(command, ['--noflush', ...this.wait], text, this.signal);
    throwUnlessDone(command, outcome);
  }

  private async isLoaded(table: string): Promise<boolean> {
    return this.backEnd === 'nf_tables' || (await isLegacyTableLoaded(this.family, table));
  }
}

/** Returns the chains that the desired rules need. */
function chainsOf(desired: RuleSets): IptablesChain[] {
  return IPTABLES_CHAINS.filter(({ set }) => desired[set].length > 0);
}

/** Runs a step for each chain, even if it failed for another one. @throws the first error */
async function forEach(
  chains: readonly IptablesChain[],
  step: (chain: IptablesChain) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  for (const chain of chains) await step(chain).catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}
