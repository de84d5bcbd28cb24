/** The text that iptables-restore reads and iptables prints. */

import { commandText } from '../support/command-input.js';
import type { IptablesChain } from './chains.js';
import { type Missing, NOTHING, reduceRules } from './reduction.js';
import type { AddressMatch, Rule } from './rules.js';

/**
 * Returns the input of `iptables-restore --noflush` that gives the chain exactly these rules, without the missing parts. It
 * deletes the present `jumps` to the chain, and adds a jump as the last rule of its base chain.
 */
export function restoreText(
  chain: IptablesChain,
  rules: readonly Rule[],
  jumps: readonly string[],
  randomFully: boolean,
  missing = NOTHING,
): string {
  const comment = commentMatch(chain, missing);
  const random = randomFully && !missing.has('randomFully');
  return lines(
    `*${chain.table}`,
    // Creates a user-defined chain, or empties it if it exists.
    `:${chain.name} - [0:0]`,
    ...jumps.map(deletion),
    jumpRule(chain, missing),
    ...reduceRules(rules, missing).map((rule) =>
      ['-A', chain.name, ...matches(rule), ...comment, '-j', target(rule, random)].join(' '),
    ),
    'COMMIT',
  );
}

/** Returns the input of `iptables-restore --noflush` that deletes these jumps to the chain and empties it. */
export function emptyingText(chain: IptablesChain, jumps: readonly string[]): string {
  return lines(`*${chain.table}`, ...jumps.map(deletion), `-F ${chain.name}`, 'COMMIT');
}

/** Returns the jumps to the chain among the printed rules of its base chain. */
export function jumpsAmong(base: readonly string[], { name }: IptablesChain): string[] {
  const isJump = new RegExp(`^-A .* -[jg] ${name}$`);
  return base.filter((line) => isJump.test(line));
}

export function jumpRule(chain: IptablesChain, missing: Missing): string {
  return ['-A', chain.base, ...commentMatch(chain, missing), '-j', chain.name].join(' ');
}

function commentMatch({ comment }: IptablesChain, missing: Missing): string[] {
  return missing.has('comment') ? [] : [`-m comment --comment "${comment}"`];
}

function deletion(rule: string): string {
  return rule.replace(/^-A/, '-D');
}

function matches({ marked, source, destination }: Rule): string[] {
  return [
    ...(marked ? ['-m mark --mark 0x4000/0x4000'] : []),
    ...addressWords('-s', source),
    ...addressWords('-d', destination),
  ];
}

function addressWords(flag: string, match: AddressMatch | undefined): string[] {
  if (match === undefined) return [];
  return [...(match.not ? ['!'] : []), flag, match.cidr];
}

function target({ verdict }: Rule, randomFully: boolean): string {
  const name = verdict.toUpperCase();
  return verdict === 'masquerade' && randomFully ? `${name} --random-fully` : name;
}

function lines(...all: string[]): string {
  return commandText('iptables-restore', all);
}
