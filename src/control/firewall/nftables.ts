/** Rules in nftables: a table of its own per family, always replaced completely. */

import { AF_INET, AF_INET6 } from '../../sys/constants.js';
import type { Family } from '../addresses/family.js';
import { reason, run } from '../support/command.js';
import { deleteTable } from './nft-netlink.js';
import { type AddressMatch, lineCount, type Rule, type RuleSets, type RuleStore } from './rules.js';

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

/** Returns a ruleset that `nft --check` accepts if the kernel supports this masquerade statement. */
function probeText(masquerade: string): string {
  return `table ip flannel-probe {\n\tchain postrtg {\n\t\ttype nat hook postrouting priority srcnat;\n\t\t${masquerade}\n\t}\n}\n`;
}

/** Returns why nftables does not work on this machine, or whether it masquerades with random ports. */
export async function probeNftables(): Promise<{ unsupported: string } | { randomFully: boolean }> {
  const check = (masquerade: string) => run('nft', ['--check', '--file', '-'], probeText(masquerade));
  if ((await check('masquerade fully-random')).code === 0) return { randomFully: true };
  const plain = await check('masquerade');
  return plain.code === 0 ? { randomFully: false } : { unsupported: reason(plain) };
}

export class Nftables implements RuleStore {
  private readonly family: Family;
  private readonly randomFully: boolean;
  private readonly signal: AbortSignal | undefined;

  /** The signal stops the running command. */
  constructor(family: Family, randomFully: boolean, signal?: AbortSignal) {
    this.family = family;
    this.randomFully = randomFully;
    this.signal = signal;
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

  /** Counts only the rules: kernels before 5.10 do not keep comments of tables and chains. */
  isComplete(lines: readonly string[], desired: RuleSets): boolean {
    return lines.filter((line) => !/^(table|chain|comment) |^}/.test(line)).length === lineCount(desired);
  }

  async write(desired: RuleSets): Promise<void> {
    await applyNft(tableLines(this.family, desired, this.randomFully), this.signal);
  }
}

/** Runs these commands of nft in one transaction. @throws Error */
export async function applyNft(lines: readonly string[], signal?: AbortSignal): Promise<void> {
  const outcome = await run('nft', ['--file', '-'], `${lines.join('\n')}\n`, signal);
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
