/** Rules in nftables: a table of its own per family, always replaced completely. */

import { AF_INET, AF_INET6 } from '../../sys/constants.js';
import type { Family } from '../addresses/family.js';
import { NOT_FOUND, type Outcome, reason, run } from '../support/command.js';
import { commandText } from '../support/command-input.js';
import { lossLine } from './losses.js';
import { deleteTable } from './nft-netlink.js';
import { type Missing, NOTHING, Reduction, Refused, reduceRules } from './reduction.js';
import type { AddressMatch, Rule, RuleSets, RuleStore } from './rules.js';

/** nft's names of the families. */
export const NFT_FAMILIES = { ipv4: 'ip', ipv6: 'ip6' };

interface NftChain {
  readonly set: keyof RuleSets;
  readonly name: string;
  readonly hook: string;
  readonly comment: string;
}

const NFT_CHAINS: readonly NftChain[] = [
  {
    set: 'masq',
    name: 'postrtg',
    hook: 'type nat hook postrouting priority srcnat; policy accept;',
    comment: 'chain to manage traffic masquerading by flannel',
  },
  {
    set: 'forward',
    name: 'forward',
    hook: 'type filter hook forward priority filter; policy accept;',
    comment: 'chain to accept flannel traffic',
  },
];

/** What a kernel may lack. The mark and comments are part of nf_tables itself. */
const CHOICES: readonly Missing[] = [
  NOTHING,
  new Set(['randomFully'] as const),
  new Set(['masquerade'] as const),
  new Set(['table'] as const),
];

/** Returns a ruleset that `nft --check` accepts if the kernel supports this statement in a chain of this type. */
function probeText(hook: string, statement: string): string {
  return `table ip flannel-probe {\n\tchain probe {\n\t\t${hook}\n\t\t${statement}\n\t}\n}\n`;
}

/** Returns why nftables does not work on this machine, or whether it masquerades with random ports. */
export async function probeNftables(): Promise<{ unsupported: string } | { randomFully: boolean }> {
  const [masq, forward] = NFT_CHAINS as [NftChain, NftChain];
  const check = ({ hook }: NftChain, statement: string) =>
    run('nft', ['--check', '--file', '-'], probeText(hook, statement));
  if ((await check(masq, 'masquerade fully-random')).code === 0) return { randomFully: true };
  if ((await check(masq, 'masquerade')).code === 0) return { randomFully: false };
  const plain = await check(forward, 'accept');
  // Without masquerading the other rules are written.
  return plain.code === 0 ? { randomFully: true } : { unsupported: reason(plain) };
}

export class Nftables implements RuleStore {
  private readonly family: Family;
  private readonly randomFully: boolean;
  private readonly signal: AbortSignal | undefined;
  private readonly reduction = new Reduction();

  /** The signal stops the running command. */
  constructor(family: Family, randomFully: boolean, signal?: AbortSignal) {
    this.family = family;
    this.randomFully = randomFully;
    this.signal = signal;
  }

  get losses(): string[] {
    return [...this.reduction.missing].map((part) =>
      lossLine(part, { command: 'nft', interface: 'nftables', family: this.family, table: 'nat' }),
    );
  }

  /** Returns the whole table: anything that another program adds to it is drift. */
  async read(): Promise<string[]> {
    const args = ['list', 'table', ...tableName(this.family)];
    const { code, stdout } = await run('nft', args, '', this.signal);
    if (code !== 0) return [];
    return stdout
      .split('\n')
      .map((line) => line.trim())
      .filter(Boolean);
  }

  /** Counts only the rules and hooks: kernels before 5.10 do not keep comments of tables and chains. */
  isComplete(lines: readonly string[], desired: RuleSets): boolean {
    const { masq, forward } = withoutMissing(desired, this.reduction.missing);
    const count = [masq, forward].reduce((sum, { length }) => sum + (length === 0 ? 0 : length + 1), 0);
    return lines.filter((line) => !/^(table|chain|comment) |^}/.test(line)).length === count;
  }

  async write(desired: RuleSets): Promise<void> {
    await this.reduction.search(this.choices(desired), (missing) => this.attempt([], desired, missing));
  }

  async improve(desired: RuleSets): Promise<void> {
    if (this.reduction.missing.size === 0) return;
    await this.reduction.retry(this.choices(desired), (missing) => this.attempt([], desired, missing));
  }

  async probe(desired: RuleSets): Promise<void> {
    await this.reduction.search(this.choices(desired), (missing) =>
      this.attempt(['--check'], desired, missing),
    );
  }

  private choices({ masq }: RuleSets): readonly Missing[] {
    return masq.length > 0 ? CHOICES : [NOTHING];
  }

  private async attempt(flags: readonly string[], desired: RuleSets, missing: Missing): Promise<void> {
    const random = this.randomFully && !missing.has('randomFully');
    const lines = tableLines(this.family, withoutMissing(desired, missing), random);
    const outcome = await runNft(lines, flags, this.signal);
    if (outcome.code === 0) return;
    const what = `nft --file -: ${reason(outcome)}`;
    throw outcome.code === NOT_FOUND || outcome.code < 0 ? new Error(what) : new Refused(what);
  }
}

function withoutMissing({ masq, forward }: RuleSets, missing: Missing): RuleSets {
  return { masq: reduceRules(masq, missing), forward };
}

function runNft(lines: readonly string[], flags: readonly string[], signal?: AbortSignal): Promise<Outcome> {
  return run('nft', [...flags, '--file', '-'], commandText('nft', lines), signal);
}

/** Runs these commands of nft in one transaction. @throws Error */
export async function applyNft(lines: readonly string[], signal?: AbortSignal): Promise<void> {
  const outcome = await runNft(lines, [], signal);
  if (outcome.code !== 0) throw new Error(`nft --file -: ${reason(outcome)}`);
}

/** Deletes a family's table, even if nft is not installed. Returns true if the table existed. @throws Error */
export function clearTable(family: Family): boolean {
  return deleteTable(family === 'ipv4' ? AF_INET : AF_INET6, tableName(family)[1]);
}

function tableName(family: Family): [nftFamily: string, name: string] {
  return [NFT_FAMILIES[family], `flannel-${family}`];
}

/** Returns the input of `nft --file -` that replaces or creates a family's table with exactly these rules. */
export function tableLines(family: Family, desired: RuleSets, randomFully: boolean): string[] {
  const [nftFamily, name] = tableName(family);
  const chains = NFT_CHAINS.filter(({ set }) => desired[set].length > 0).flatMap((chain) => [
    `\tchain ${chain.name} {`,
    `\t\tcomment "${chain.comment}"`,
    `\t\t${chain.hook}`,
    ...desired[chain.set].map((rule) => `\t\t${ruleText(nftFamily, rule, randomFully)}`),
    '\t}',
  ]);
  return [
    // `delete` fails for a missing table, so the first line creates it.
    `table ${nftFamily} ${name}`,
    `delete table ${nftFamily} ${name}`,
    `table ${nftFamily} ${name} {`,
    `\tcomment "rules for ${name}"`,
    ...chains,
    '}',
  ];
}

function ruleText(
  nftFamily: string,
  { marked, source, destination, verdict }: Rule,
  randomFully: boolean,
): string {
  return [
    ...(marked ? ['meta mark 0x4000'] : []),
    ...addressWords(nftFamily, 'saddr', source),
    ...addressWords(nftFamily, 'daddr', destination),
    verdict === 'masquerade' && randomFully ? 'masquerade fully-random' : verdict,
  ].join(' ');
}

function addressWords(nftFamily: string, field: string, match: AddressMatch | undefined): string[] {
  if (match === undefined) return [];
  return [nftFamily, field, ...(match.not ? ['!='] : []), match.cidr];
}
