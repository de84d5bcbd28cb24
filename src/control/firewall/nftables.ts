/** Rules in nftables: a table of our own per family, replaced as a whole. */

import { AF_INET, AF_INET6 } from '../../sys/constants.js';
import type { Family } from '../addresses/family.js';
import { reason, run } from '../support/command.js';
import { deleteTable } from './nft-netlink.js';
import { type AddressMatch, lineCount, type Rule, type RuleSets, type Tables } from './rules.js';

/** What nft calls the families. */
export const WORDS = { ipv4: 'ip', ipv6: 'ip6' };

interface Chain {
  readonly set: keyof RuleSets;
  readonly name: string;
  readonly hook: string;
  readonly comment: string;
}

const CHAINS: readonly Chain[] = [
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

/** What `nft --check` is asked: whether the kernel can masquerade, and from ports chosen at random. */
function probe(masquerade: string): string {
  return `table ip flannel-probe {\n\tchain postrtg {\n\t\ttype nat hook postrouting priority srcnat;\n\t\t${masquerade}\n\t}\n}\n`;
}

/** What of nftables works here: nothing, for a reason; or masquerading with or without fully-random. */
export async function probeNftables(): Promise<{ refused: string } | { randomFully: boolean }> {
  const check = (masquerade: string) => run('nft', ['--check', '--file', '-'], probe(masquerade));
  if ((await check('masquerade fully-random')).code === 0) return { randomFully: true };
  const plain = await check('masquerade');
  return plain.code === 0 ? { randomFully: false } : { refused: reason(plain) };
}

export class Nftables implements Tables {
  private readonly family: Family;
  private readonly randomFully: boolean;
  private readonly signal: AbortSignal | undefined;

  /** The signal ends a command that is at work. */
  constructor(family: Family, randomFully: boolean, signal?: AbortSignal) {
    this.family = family;
    this.randomFully = randomFully;
    this.signal = signal;
  }

  /** All of the table: whatever others put into it, they have changed it. */
  async read(): Promise<string[]> {
    const args = ['list', 'table', ...tableName(this.family)];
    const { code, stdout } = await run('nft', args, '', this.signal);
    if (code !== 0) return [];
    return stdout
      .split('\n')
      .map((line) => line.trim())
      .filter(Boolean);
  }

  /** What only frames the rules is left out: kernels before 5.10 keep no comments of tables and chains. */
  isWhole(lines: readonly string[], wanted: RuleSets): boolean {
    return lines.filter((line) => !/^(table|chain|comment) |^}/.test(line)).length === lineCount(wanted);
  }

  async write(wanted: RuleSets): Promise<void> {
    await applyText(tableText(this.family, wanted, this.randomFully), this.signal);
  }
}

/** Has nft do this, all of it or nothing. @throws Error */
export async function applyText(text: string, signal?: AbortSignal): Promise<void> {
  const outcome = await run('nft', ['--file', '-'], text, signal);
  if (outcome.code !== 0) throw new Error(`nft --file -: ${reason(outcome)}`);
}

/** Removes a family's table, with or without nft on this machine; true when there was one. @throws Error */
export function clearTable(family: Family): boolean {
  return deleteTable(family === 'ipv4' ? AF_INET : AF_INET6, tableName(family)[1]);
}

function tableName(family: Family): [word: string, name: string] {
  return [WORDS[family], `flannel-${family}`];
}

/** The input of `nft --file -` that makes the table hold these rules and nothing else, whether it was there or not. */
export function tableText(family: Family, wanted: RuleSets, randomFully: boolean): string {
  const [word, name] = tableName(family);
  const chains = CHAINS.filter(({ set }) => wanted[set].length > 0).flatMap((chain) => [
    `\tchain ${chain.name} {`,
    `\t\tcomment "${chain.comment}"`,
    `\t\t${chain.hook}`,
    ...wanted[chain.set].map((rule) => `\t\t${ruleText(word, rule, randomFully)}`),
    '\t}',
  ]);
  return [
    `table ${word} ${name}`,
    `delete table ${word} ${name}`,
    `table ${word} ${name} {`,
    `\tcomment "rules for ${name}"`,
    ...chains,
    '}',
    '',
  ].join('\n');
}

function ruleText(
  word: string,
  { marked, source, destination, verdict }: Rule,
  randomFully: boolean,
): string {
  return [
    ...(marked ? ['meta mark 0x4000'] : []),
    ...addresses(word, 'saddr', source),
    ...addresses(word, 'daddr', destination),
    verdict === 'masquerade' && randomFully ? 'masquerade fully-random' : verdict,
  ].join(' ');
}

function addresses(word: string, field: string, match: AddressMatch | undefined): string[] {
  if (match === undefined) return [];
  return [word, field, ...(match.not ? ['!='] : []), match.cidr];
}
