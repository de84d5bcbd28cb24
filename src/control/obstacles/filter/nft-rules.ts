/** The rules that `nft -j` prints, as rules that a sample packet can follow (libnftables-json(5)). */

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

type Json = Record<string, unknown>;

/** A base chain of nftables. */
export interface NftBaseChain {
  family: string;
  table: string;
  name: string;
  hook: string;
  /** The interface of an ingress hook. */
  dev?: string;
  type: string;
  policy?: string;
}

/** Statements that neither match nor end a rule. */
const PASSIVE = new Set(['counter', 'log', 'notrack', 'flow', 'secmark', 'ct helper', 'ct timeout']);

/** Returns the objects of one kind from the output of `nft -j list …`. @throws SyntaxError */
export function nftObjects<T>(text: string, kind: 'chain' | 'rule'): T[] {
  const { nftables } = JSON.parse(text) as { nftables: Record<string, T>[] };
  return nftables.flatMap((entry) => entry[kind] ?? []);
}

/** Parses the rules of a table from the output of `nft -j list table`. @throws SyntaxError */
export function parseNftTable(text: string): Chains {
  const chains = new Map<string, FilterRule[]>();
  for (const { name } of nftObjects<{ name: string }>(text, 'chain')) chains.set(name, []);
  for (const { chain, handle, expr } of nftObjects<{ chain: string; handle: number; expr: Json[] }>(
    text,
    'rule',
  ))
    chains.get(chain)?.push(parseRule(handle, expr));
  return chains;
}

function parseRule(handle: number, statements: readonly Json[]): FilterRule {
  return {
    text: `handle ${handle}: ${statements.map((statement) => Object.keys(statement)[0]).join(' ')}`,
    judge(packet, state) {
      const answers: Answer[] = [];
      let verdict: Verdict = { kind: 'continue' };
      for (const statement of statements) {
        const [kind = '', value] = Object.entries(statement)[0] ?? [];
        if (kind === 'match') answers.push(matchOf(value as Json, packet, state));
        else if (kind === 'vmap') {
          const mapped = mappedVerdict(value as Json, packet, state);
          answers.push(mapped.answer);
          verdict = mapped.verdict;
        } else if (!PASSIVE.has(kind)) {
          const found = verdictOf(kind, value);
          // `limit` and others may match or not; a verdict of an xtables target is not known.
          if (found === undefined) answers.push('maybe');
          else verdict = found;
          if (kind === 'xt') verdict = { kind: 'unknown' };
        }
      }
      return { answer: all(answers), verdict };
    },
  };
}

function verdictOf(kind: string, value: unknown): Verdict | undefined {
  switch (kind) {
    case 'accept':
    case 'drop':
    case 'return':
    case 'continue':
      return { kind };
    case 'reject':
      return { kind: 'drop' };
    case 'jump':
    case 'goto':
      return { kind, chain: String((value as Json).target) };
    case 'mangle':
      return { kind: 'mark' };
    case 'queue':
      return { kind: 'unknown' };
    default:
      return undefined;
  }
}

/** Returns the verdict of a verdict map. One that Weft cannot determine may be to accept. */
function mappedVerdict(
  { key, data }: Json,
  packet: Packet,
  state: WalkState,
): { answer: Answer; verdict: Verdict } {
  const elements = (data as { set?: [unknown, Json][] } | undefined)?.set;
  if (!Array.isArray(elements)) return { answer: 'maybe', verdict: { kind: 'unknown' } };
  for (const [element, value] of elements) {
    const found = compare(key as Json, element, packet, state);
    if (found === 'no') continue;
    const [kind = '', argument] = Object.entries(value)[0] ?? [];
    return {
      answer: found,
      verdict: (found === 'yes' ? verdictOf(kind, argument) : undefined) ?? { kind: 'unknown' },
    };
  }
  return { answer: 'no', verdict: { kind: 'continue' } };
}

function matchOf({ op, left, right }: Json, packet: Packet, state: WalkState): Answer {
  const found = compare(left as Json, right, packet, state);
  if (op === '!=') return not(found);
  return op === '==' || op === 'in' ? found : 'maybe';
}

/** Compares an expression with a constant, a set, a prefix or a range. */
function compare(left: Json, right: unknown, packet: Packet, state: WalkState): Answer {
  if (Array.isArray(right)) return any(right.map((value) => compare(left, value, packet, state)));
  const { set, prefix, range, elem } = (typeof right === 'object' && right !== null ? right : {}) as Json;
  if (Array.isArray(set)) return compare(left, set, packet, state);
  if (elem !== undefined) return compare(left, (elem as Json).val, packet, state);
  const [kind = '', value] = Object.entries(left)[0] ?? [];
  const { key, protocol, field } = value as { key?: string; protocol?: string; field?: string };
  if (kind === 'meta') return compareMeta(key ?? '', right, packet, state);
  if (kind === 'ct') return key === 'state' ? answer(right === 'new') : compareStatus(key);
  if (kind !== 'payload' || protocol === undefined || field === undefined) return 'maybe';
  if (protocol === 'ip' || protocol === 'ip6') {
    if ((protocol === 'ip') !== (packet.family === 'ipv4')) return 'no';
    if (field === 'protocol' || field === 'nexthdr') return matchesProtocol(packet, String(right));
    if (field !== 'saddr' && field !== 'daddr') return 'maybe';
    const ip = field === 'saddr' ? packet.source : packet.destination;
    const { addr, len } = (prefix ?? {}) as { addr?: string; len?: number };
    return matchesAddress(ip, prefix === undefined ? String(right) : `${addr}/${len}`);
  }
  if (protocol !== 'th' && protocol !== packet.protocol) return 'no';
  if (field !== 'sport' && field !== 'dport') return 'maybe';
  const port = field === 'sport' ? packet.sourcePort : packet.destinationPort;
  const [first, last] = (Array.isArray(range) ? range : [right, right]).map(Number) as [number, number];
  return matchesPort(port, first, last);
}

/** A new connection was neither translated nor has it another status. */
function compareStatus(key: string | undefined): Answer {
  return key === 'status' ? 'no' : 'maybe';
}

function compareMeta(key: string, right: unknown, packet: Packet, { markKnown }: WalkState): Answer {
  const text = String(right);
  switch (key) {
    case 'iif':
    case 'iifname':
      return matchesInterface(packet.iif, text);
    case 'oif':
    case 'oifname':
      return matchesInterface(packet.oif, text);
    case 'l4proto':
    case 'nfproto':
      return matchesProtocol(packet, text);
    case 'protocol':
      return answer(text === (packet.family === 'ipv4' ? 'ip' : 'ip6'));
    case 'mark':
      return markKnown && typeof right === 'number' ? answer(right === 0) : 'maybe';
    default:
      return 'maybe';
  }
}
