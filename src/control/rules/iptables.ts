/**
 * Rules in iptables or ip6tables, of either back end: a chain of our own in each table, and in the kernel's chain one jump
 * to it.
 */

import { readFile } from 'node:fs/promises';
import type { Family } from '../address.js';
import { reason, run } from '../command.js';
import type { AddressMatch, Rule, RuleSets, Tables } from './wanted.js';

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

export interface IptablesOptions {
  /** Whether to masquerade with --random-fully where it can. */
  randomFully: boolean;
  /** How long to wait for the lock that other users of iptables hold. */
  waitSeconds: number;
}

export class Iptables implements Tables {
  readonly command: string;
  readonly backEnd: BackEnd;
  private readonly family: Family;
  private readonly randomFully: boolean;
  private readonly wait: readonly string[];

  private constructor(command: string, family: Family, version: string, options: IptablesOptions) {
    this.command = command;
    this.family = family;
    this.backEnd = version.includes('nf_tables') ? 'nf_tables' : 'legacy';
    const recent = isRecent(version);
    this.randomFully = options.randomFully && recent;
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
    const states = CHAINS.filter(({ set }) => wanted[set].length > 0).map((chain) => this.stateOf(chain));
    return (await Promise.all(states)).flatMap(({ jumps, rules }) => [...jumps, ...rules]);
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
    const { jumps } = await this.stateOf(chain);
    await this.restore(restoreText(chain, rules, jumps, this.randomFully));
  }

  /** Removes these chains and the jumps to them; true when there was one. @throws Error */
  async clear(chains: readonly Chain[] = CHAINS): Promise<boolean> {
    let found = false;
    for (const chain of chains) {
      if (!(await this.isLoaded(chain.table))) continue;
      const { jumps, exists } = await this.stateOf(chain);
      if (!exists) continue;
      await this.restore(removalText(chain, jumps));
      found = true;
    }
    return found;
  }

  /** A chain and the jumps to it, each rule as iptables prints it: `-A CHAIN …`. */
  private async stateOf(chain: Chain): Promise<{ exists: boolean; rules: string[]; jumps: string[] }> {
    const own = await this.list(chain.table, chain.name);
    const base = await this.list(chain.table, chain.base);
    const isJump = new RegExp(`^-A .* -[jg] ${chain.name}$`);
    return {
      exists: own !== undefined,
      rules: (own ?? []).filter((line) => line.startsWith('-A ')),
      jumps: (base ?? []).filter((line) => isJump.test(line)),
    };
  }

  /** The lines of a chain; undefined when there is none. */
  private async list(table: string, chain: string): Promise<string[] | undefined> {
    const outcome = await run(this.command, [...this.wait, '--table', table, '--list-rules', chain]);
    if (outcome.code === 0) return outcome.stdout.split('\n').filter(Boolean);
    // 1 is what it ends with for a chain that is not there; a lock, a kernel without the table have other codes.
    if (outcome.code === 1) return undefined;
    throw new Error(`${this.command} --table ${table} --list-rules ${chain}: ${reason(outcome)}`);
  }

  private async restore(text: string): Promise<void> {
    const command = `${this.command}-restore`;
    const outcome = await run(command, ['--noflush', ...this.wait], text);
    if (outcome.code !== 0) throw new Error(`${command}: ${reason(outcome)}`);
  }

  /** Looking at a legacy table that nobody uses would load it, and connection tracking with it. */
  private async isLoaded(table: string): Promise<boolean> {
    if (this.backEnd === 'nf_tables') return true;
    const names = await readFile(LOADED_TABLES[this.family], 'utf8').catch(() => '');
    return names.split('\n').includes(table);
  }
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
  const comment = `-m comment --comment "${chain.comment}"`;
  return lines(
    `*${chain.table}`,
    // Makes the chain or, as it is none of the kernel's, empties it.
    `:${chain.name} - [0:0]`,
    ...jumps.map(deletion),
    `-A ${chain.base} ${comment} -j ${chain.name}`,
    ...rules.map((rule) =>
      words('-A', chain.name, ...matches(rule), comment, '-j', target(rule, randomFully)),
    ),
    'COMMIT',
  );
}

function removalText(chain: Chain, jumps: readonly string[]): string {
  return lines(`*${chain.table}`, ...jumps.map(deletion), `-F ${chain.name}`, `-X ${chain.name}`, 'COMMIT');
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
