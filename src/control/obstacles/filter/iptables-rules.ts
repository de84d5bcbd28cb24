/** The rules that `iptables --list-rules` prints, as rules that a sample packet can follow. */

import {
  type Answer,
  all,
  answer,
  any,
  matchesAddress,
  matchesInterface,
  matchesPort,
  matchesProtocol,
  not,
  type Packet,
} from './packet.js';
import type { Chains, FilterRule, Verdict, WalkState } from './walk.js';

/** A match: its values, and whether it applies to a packet. */
type Match = (packet: Packet, state: WalkState) => Answer;

/** Matches that do not limit a rule by themselves: their options do. */
const PLAIN_MATCHES = new Set(['comment', 'tcp', 'udp', 'conntrack', 'state', 'multiport', 'mark']);

const VERDICTS: Record<string, Verdict['kind'] & ('accept' | 'drop' | 'return' | 'mark' | 'unknown')> = {
  ACCEPT: 'accept',
  DROP: 'drop',
  REJECT: 'drop',
  RETURN: 'return',
  MARK: 'mark',
  CONNMARK: 'mark',
  QUEUE: 'unknown',
  NFQUEUE: 'unknown',
};

export interface IptablesRules {
  chains: Chains;
  /** The kernel's chains whose policy is to drop. */
  dropping: ReadonlySet<string>;
}

/** Parses the output of `iptables --list-rules`. */
export function parseIptables(text: string): IptablesRules {
  const chains = new Map<string, FilterRule[]>();
  const dropping = new Set<string>();
  for (const line of text.split('\n')) {
    const [command, chain = '', ...words] = wordsOf(line);
    if (command === '-N' || command === '-P') chains.set(chain, []);
    if (command === '-P' && words[0] === 'DROP') dropping.add(chain);
    if (command === '-A') chains.get(chain)?.push(parseRule(line, words, chains));
  }
  return { chains, dropping };
}

/** Splits a line into words; a quoted word may contain spaces. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
}

function parseRule(text: string, words: readonly string[], chains: Chains): FilterRule {
  const matches: Match[] = [];
  let verdict: Verdict = { kind: 'continue' };
  let negated = false;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    if (word === '!') {
      negated = true;
      continue;
    }
    const value = words[at + 1] ?? '';
    if (word === '-j' || word === '-g') {
      verdict = verdictOf(word, value, chains);
      break;
    }
    const match = matchOf(word, value);
    if (match !== undefined) matches.push(negated ? (...args) => not(match(...args)) : match);
    negated = false;
    while (at + 1 < words.length && !/^(-|!$)/.test(words[at + 1] as string)) at++;
  }
  return {
    text,
    judge: (packet, state) => ({ answer: all(matches.map((match) => match(packet, state))), verdict }),
  };
}

function verdictOf(flag: '-j' | '-g', target: string, chains: Chains): Verdict {
  const kind = VERDICTS[target];
  if (kind !== undefined) return { kind };
  if (chains.has(target)) return { kind: flag === '-j' ? 'jump' : 'goto', chain: target };
  // Other targets, such as LOG, do not end the chain.
  return { kind: 'continue' };
}

/** Returns the match of an option; undefined if the option does not limit the rule. */
function matchOf(option: string, value: string): Match | undefined {
  const listed = value.split(',');
  switch (option) {
    case '-s':
      return ({ source }) => matchesAddress(source, value);
    case '-d':
      return ({ destination }) => matchesAddress(destination, value);
    case '-i':
      return ({ iif }) => matchesInterface(iif, value);
    case '-o':
      return ({ oif }) => matchesInterface(oif, value);
    case '-p':
      return (packet) => matchesProtocol(packet, value);
    case '-m':
      return PLAIN_MATCHES.has(value) ? undefined : () => 'maybe';
    case '--comment':
      return undefined;
    case '-f':
    case '--ctstatus':
      return () => 'no';
    case '--ctstate':
    case '--state':
      return () => answer(listed.includes('NEW'));
    case '--sport':
    case '--sports':
      return ({ sourcePort }) => matchesPorts(sourcePort, listed);
    case '--dport':
    case '--dports':
      return ({ destinationPort }) => matchesPorts(destinationPort, listed);
    case '--mark':
      return (_, { markKnown }) => (markKnown ? answer(Number(listed[0]?.split('/')[0]) === 0) : 'maybe');
    default:
      return () => 'maybe';
  }
}

function matchesPorts(port: number, texts: readonly string[]): Answer {
  return any(
    texts.map((text) => {
      const [first, last = first] = text.split(':').map(Number) as [number, number?];
      return matchesPort(port, first, last);
    }),
  );
}
