/**
 * Rules in iptables or ip6tables, of either back end: a chain of our own in each table, and in the kernel's chain one jump
 * to it.
 */

import { readFile } from 'node:fs/promises';
import type { Family } from '../addresses/family.js';
import { type Outcome, reason, run } from '../support/command.js';
import { clearIptablesChains, deleteNftJumps, nftJumps } from './iptables-nft.js';
import { type AddressMatch, lineCount, type Rule, type RuleSets, type Tables } from './rules.js';

export interface Chain {
  readonly set: keyof RuleSets;
  readonly table: string;
  /** The kernel's chain that jumps to ours. */
  readonly base: string;
  readonly name: string;
  readonly comment: string;
}

export const CHAINS: readonly Chain[] = [
  { set: 'masq', table: 'nat', base: 'POSTROUTING', name: 'FLANNEL-POSTRTG', comment: 'flanneld masq' },
  { set: 'forward', table: 'filter', base: 'FORWARD', name: 'FLANNEL-FWD', comment: 'flanneld forward' },
];

/** The first release with `iptables-restore --wait` and MASQUERADE's --random-fully. */
const RECENT = [1, 6, 2];

/** Which kernel interface a command speaks: those of the one do not see the rules of the other. */
type BackEnd = 'legacy' | 'nf_tables';

const COMMANDS = { ipv4: 'iptables', ipv6: 'ip6tables' };
const LOADED_TABLES = { ipv4: '/proc/net/ip_tables_names', ipv6: '/proc/net/ip6_tables_names' };

/** A rule that leads to a chain of ours, as iptables prints it; with nft's handle where only nft can print it. */
interface Jump {
  readonly rule: string;
  readonly handle?: string;
}

export interface IptablesOptions {
  /** Whether to masquerade with --random-fully where it can; not when left out. */
  randomFully?: boolean;
  /** How long to wait for the lock that other users of iptables hold. */
  waitSeconds: number;
  /** Ends a command that is at work. */
  signal?: AbortSignal | undefined;
}

export class Iptables implements Tables {
  readonly command: string;
  readonly backEnd: BackEnd;
  private readonly family: Family;
  private readonly randomFully: boolean;
  private readonly wait: readonly string[];
  private readonly signal: AbortSignal | undefined;

  private constructor(command: string, family: Family, version: string, options: IptablesOptions) {
    this.command = command;
    this.family = family;
    this.backEnd = version.includes('nf_tables') ? 'nf_tables' : 'legacy';
    const recent = isRecent(version);
    this.randomFully = options.randomFully === true && recent;
    this.signal = options.signal;
    this.wait = recent ? [`--wait=${options.waitSeconds}`] : [];
  }

  /**
   * The commands there are for a family, one for each back end: first the one that is in use on this machine, or
   * undefined if it is missing.
   */
  static async find(
    family: Family,
    options: IptablesOptions,
  ): Promise<[Iptables | undefined, ...Iptables[]]> {
    const names = ['', '-nft', '-legacy'].map((suffix) => `${COMMANDS[family]}${suffix}`);
    const [main, ...others] = await Promise.all(
      names.map(async (name) => {
        const { code, stdout } = await run(name, ['--version']);
        return code === 0 ? new Iptables(name, family, stdout, options) : undefined;
      }),
    );
    const apart = others.filter((other) => other !== undefined && other.backEnd !== main?.backEnd);
    return [main, ...(apart as Iptables[])];
  }

  async read(wanted: RuleSets): Promise<string[]> {
    const chains = CHAINS.filter(({ set }) => wanted[set].length > 0).map((chain) => this.linesOf(chain));
    return (await Promise.all(chains)).flat();
  }

  isWhole(lines: readonly string[], wanted: RuleSets): boolean {
    return lines.length === lineCount(wanted);
  }

  /** A table that the kernel does not have keeps nothing from the other. */
  async write(wanted: RuleSets): Promise<void> {
    const failures: unknown[] = [];
    for (const chain of CHAINS) {
      if (wanted[chain.set].length === 0) continue;
      await this.replace(chain, wanted[chain.set]).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  private async replace(chain: Chain, rules: readonly Rule[]): Promise<void> {
    let jumps = await this.jumpsTo(chain);
    // Nothing can lead to a chain yet that was not there. To any other there would be one jump more with every write.
    if (jumps === undefined && (await this.make(chain))) jumps = [];
    if (jumps === undefined) throw this.unprintable(chain);
    const handles = jumps.flatMap(({ handle }) => handle ?? []);
    await deleteNftJumps(this.family, chain, handles, this.signal);
    const printed = jumps.flatMap(({ rule, handle }) => (handle === undefined ? rule : []));
    await this.restore(restoreText(chain, rules, printed, this.randomFully));
  }

  /** Removes these chains and the jumps to them; true when there was one. @throws Error */
  async clear(chains: readonly Chain[] = CHAINS): Promise<boolean> {
    let found = false;
    const failures: unknown[] = [];
    for (const chain of chains) {
      try {
        if (await this.clearChain(chain)) found = true;
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
    return found;
  }

  private async clearChain(chain: Chain): Promise<boolean> {
    if (!(await this.isLoaded(chain.table))) return false;
    const own = await this.list(chain.table, chain.name).catch(unlessNoNfTables);
    const base = own && (await this.list(chain.table, chain.base));
    if (base !== undefined) {
      await this.restore(emptyingText(chain, jumpsAmong(base, chain)));
      // Apart, so that a chain that others lead to is at least of no effect.
      const outcome = await this.ask(chain.table, '--delete-chain', chain.name);
      if (outcome.code !== 0) throw new Error(stillUsed(chain, reason(outcome)));
      return true;
    }
    if (this.backEnd === 'legacy') return false;
    const cleared = await clearIptablesChains(this.family, [chain], this.signal);
    if (!cleared && own !== undefined) throw this.unprintable(chain);
    return cleared;
  }

  /** The jumps to a chain, and its rules. */
  private async linesOf(chain: Chain): Promise<string[]> {
    const [own, jumps] = await Promise.all([this.list(chain.table, chain.name), this.jumpsTo(chain)]);
    if (jumps === undefined) throw this.unprintable(chain);
    return [...jumps.map(({ rule }) => rule), ...(own ?? []).filter((line) => line.startsWith('-A '))];
  }

  /** The jumps to a chain; undefined when nobody here can tell. */
  private async jumpsTo(chain: Chain): Promise<Jump[] | undefined> {
    const base = await this.list(chain.table, chain.base);
    if (base !== undefined) return jumpsAmong(base, chain).map((rule) => ({ rule }));
    if (this.backEnd === 'legacy') return [];
    const jumps = await nftJumps(this.family, chain, this.signal);
    return jumps?.map(({ text, handle }) => ({
      // Who else comes into the base chain, and how it is then read, changes nothing of ours.
      rule: text === `jump ${chain.name}` ? jumpRule(chain) : text,
      handle,
    }));
  }

  /**
   * The lines of a chain; undefined when there is none, or, in nf_tables, when others have put a rule there that only nft
   * can print.
   */
  private async list(table: string, chain: string): Promise<string[] | undefined> {
    const outcome = await this.ask(table, '--list-rules', chain);
    if (outcome.code === 0) return outcome.stdout.split('\n').filter(Boolean);
    // 1 is what it ends with for such a chain; a lock, a kernel without the table have other codes.
    if (outcome.code === 1) return undefined;
    throw new Error(`${this.command} --table ${table} --list-rules ${chain}: ${reason(outcome)}`);
  }

  /** Makes a chain; false when it was there. */
  private async make({ table, name }: Chain): Promise<boolean> {
    const outcome = await this.ask(table, '--new-chain', name);
    if (outcome.code === 0) return true;
    if (outcome.stderr.includes('already exists')) return false;
    throw new Error(`${this.command} --table ${table} --new-chain ${name}: ${reason(outcome)}`);
  }

  private unprintable({ table, base, name }: Chain): Error {
    return new Error(
      `${this.command} cannot print ${base} of table ${table}, where another program has put rules with nft, and so not find what leads to ${name}: what is there stays as it is; install nftables (apt-get install nftables)`,
    );
  }

  private ask(table: string, ...args: string[]): Promise<Outcome> {
    return run(this.command, [...this.wait, '--table', table, ...args], '', this.signal);
  }

  private async restore(text: string): Promise<void> {
    const command = `${this.command}-restore`;
    const outcome = await run(command, ['--noflush', ...this.wait], text, this.signal);
    if (outcome.code !== 0) throw new Error(`${command}: ${reason(outcome)}`);
  }

  /** Looking at a legacy table that nobody uses would load it, and connection tracking with it. */
  private async isLoaded(table: string): Promise<boolean> {
    if (this.backEnd === 'nf_tables') return true;
    const names = await readFile(LOADED_TABLES[this.family], 'utf8').catch(() => '');
    return names.split('\n').includes(table);
  }
}

/** A kernel without nf_tables has no chains there. */
function unlessNoNfTables(error: Error): undefined {
  if (!error.message.includes('Could not fetch rule set generation id: Invalid argument')) throw error;
}

/** `iptables --version` is `iptables v1.8.9 (nf_tables)`; before 1.8.0 it names no back end. */
function isRecent(version: string): boolean {
  const numbers = /v(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number) ?? [];
  const differs = RECENT.findIndex((least, index) => numbers[index] !== least);
  return differs < 0 || (numbers[differs] ?? 0) > (RECENT[differs] as number);
}

/**
 * The input of `iptables-restore --noflush` that makes the chain hold these rules and no others, and the jump to it the
 * last rule of its base chain. `jumps` are those in force.
 */
export function restoreText(
  chain: Chain,
  rules: readonly Rule[],
  jumps: readonly string[],
  randomFully: boolean,
): string {
  return lines(
    `*${chain.table}`,
    // Makes the chain or, as it is none of the kernel's, empties it.
    `:${chain.name} - [0:0]`,
    ...jumps.map(deletion),
    jumpRule(chain),
    ...rules.map((rule) =>
      words('-A', chain.name, ...matches(rule), commentMatch(chain), '-j', target(rule, randomFully)),
    ),
    'COMMIT',
  );
}

function emptyingText(chain: Chain, jumps: readonly string[]): string {
  return lines(`*${chain.table}`, ...jumps.map(deletion), `-F ${chain.name}`, 'COMMIT');
}

/** What keeps an emptied chain of ours from going. */
export function stillUsed({ table, name }: Chain, why: string): string {
  return `${name} of table ${table} is empty and stays (${why}); does a rule of another's lead to it? Remove that one`;
}

function jumpsAmong(base: readonly string[], { name }: Chain): string[] {
  const isJump = new RegExp(`^-A .* -[jg] ${name}$`);
  return base.filter((line) => isJump.test(line));
}

function jumpRule(chain: Chain): string {
  return `-A ${chain.base} ${commentMatch(chain)} -j ${chain.name}`;
}

function commentMatch({ comment }: Chain): string {
  return `-m comment --comment "${comment}"`;
}

function deletion(rule: string): string {
  return rule.replace(/^-A/, '-D');
}

function matches({ marked, source, destination }: Rule): string[] {
  return [
    ...(marked ? ['-m mark --mark 0x4000/0x4000'] : []),
    ...addresses('-s', source),
    ...addresses('-d', destination),
  ];
}

function addresses(flag: string, match: AddressMatch | undefined): string[] {
  if (match === undefined) return [];
  return [...(match.not ? ['!'] : []), flag, match.cidr];
}

function target({ verdict }: Rule, randomFully: boolean): string {
  const name = verdict.toUpperCase();
  return verdict === 'masquerade' && randomFully ? `${name} --random-fully` : name;
}

function words(...parts: string[]): string {
  return parts.join(' ');
}

function lines(...all: string[]): string {
  return `${all.join('\n')}\n`;
}
