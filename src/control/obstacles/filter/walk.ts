/** Follows a sample packet through the chains of a firewall. */

import type { Answer, Packet } from './packet.js';

export type Verdict =
  | { kind: 'accept' | 'drop' | 'return' | 'continue' }
  /** Sets the packet's mark: no later match of a mark is certain. */
  | { kind: 'mark' }
  /** Passes the packet to something that Weft cannot follow. */
  | { kind: 'unknown' }
  | { kind: 'jump' | 'goto'; chain: string };

export interface WalkState {
  markKnown: boolean;
}

export interface FilterRule {
  /** The rule as messages quote it. */
  text: string;
  judge(packet: Packet, state: WalkState): { answer: Answer; verdict: Verdict };
}

export type Chains = ReadonlyMap<string, readonly FilterRule[]>;

/** `pass`: the packet reaches the end of the chain; `unknown`: it may be accepted or not. */
export type Fate = { name: 'accept' | 'pass' | 'unknown' } | { name: 'drop'; rule: string };

/** Nested chains beyond this depth are not followed; the kernel allows fewer. */
const MAX_DEPTH = 32;

/** Returns what surely happens to the packet in a chain. */
export function walk(
  chains: Chains,
  chain: string,
  packet: Packet,
  state: WalkState = { markKnown: true },
  depth = 0,
): Fate {
  if (depth > MAX_DEPTH) return { name: 'unknown' };
  // An uncertain match may have ended the chain: later rules are uncertain too.
  let certain = true;
  for (const rule of chains.get(chain) ?? []) {
    const { answer, verdict } = rule.judge(packet, state);
    if (answer === 'no') continue;
    const sure = certain && answer === 'yes';
    switch (verdict.kind) {
      case 'continue':
        break;
      case 'mark':
        state.markKnown = false;
        break;
      case 'accept':
        return { name: sure ? 'accept' : 'unknown' };
      case 'unknown':
        return { name: 'unknown' };
      case 'drop':
        if (sure) return { name: 'drop', rule: rule.text };
        break;
      case 'return':
        if (answer === 'yes') return { name: 'pass' };
        certain = false;
        break;
      default: {
        const fate = walk(chains, verdict.chain, packet, state, depth + 1);
        if (fate.name === 'accept' || fate.name === 'unknown') return sure ? fate : { name: 'unknown' };
        if (fate.name === 'drop' && sure) return fate;
        if (verdict.kind === 'goto') {
          if (answer === 'yes') return { name: 'pass' };
          certain = false;
        }
      }
    }
  }
  return { name: 'pass' };
}
