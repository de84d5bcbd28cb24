/** The rules that `nft -j` prints, as rules that a sample packet can follow (libnftables-json(5)). */

import {
  type Answer,
  all,
  answer,
  any,
  matchesAddress,
  matchesAddressRange,
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
  /** The interface of an ingress hook, or several. Some releases of nft leave it out (1.0.6 does). */
  dev?: string | string[];
  type: string;
  policy?: string;
}

/** The protocols above IP whose headers nft matches: a packet has one of them. */
const TRANSPORTS = new Set('tcp udp udplite sctp dccp icmp icmpv6 igmp esp ah comp gre'.split(' '));

/** Statements that neither match nor end a rule. */
const PASSIVE = new Set(['counter', 'log', 'notrack', 'flow', 'secmark', 'ct helper', 'ct timeout']);

/** Returns the objects of one kind from the output of `nft -j list …`. @throws SyntaxError */
export function nftObjects<T>(text: string, kind: 'chain' | 'rule'): T[] {
  const { nftables } = JSON.parse(text) as { nftables: Record<string, T>[] };
  return nftables.flatMap((entry) => entry[kind] ?? []);
}

/** Returns the interfaces of ingress chains from the output of `nft list chains`, by family, table and chain. */
export function devicesByChain(text: string): Map<string, string[]> {
  const devices = new Map<string, string[]>();
  let table = '';
  let chain = '';
  for (const line of text.split('\n')) {
    table = /^table (.+) \{$/.exec(line)?.[1] ?? table;
    chain = /^\s+chain (.+) \{$/.exec(line)?.[1] ?? chain;
    const listed = /^\s+type filter hook ingress devices? (.+) priority /.exec(line)?.[1];
    const names = listed?.match(/[^\s"={},]+/g);
    if (names) devices.set(`${table} ${chain}`, names);
  }
  return devices;
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
  // A named map, or a listing without elements: a map of a rule is never empty.
  if (!Array.isArray(elements) || elements.length === 0)
    return { answer: 'maybe', verdict: { kind: 'unknown' } };
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
  if (Array.isArray(right))
    // A set of a rule is never empty: this listing leaves out its elements.
    return right.length === 0 ? 'maybe' : any(right.map((value) => compare(left, value, packet, state)));
  const { set, elem, '|': flags } = (typeof right === 'object' && right !== null ? right : {}) as Json;
  const alternatives = set ?? flags;
  if (Array.isArray(alternatives)) return compare(left, alternatives, packet, state);
  if (elem !== undefined) return compare(left, (elem as Json).val, packet, state);
  const [kind = '', value] = Object.entries(left)[0] ?? [];
  const { key = '', protocol, field } = value as { key?: string; protocol?: string; field?: string };
  if (kind === 'meta') return compareMeta(key, right, packet, state);
  if (kind === 'ct') return compareTracking(key, right);
  if (kind !== 'payload' || protocol === undefined || field === undefined) return 'maybe';
  return comparePayload(protocol, field, right, packet);
}

function comparePayload(protocol: string, field: string, right: unknown, packet: Packet): Answer {
  const { prefix, range } = (typeof right === 'object' && right !== null ? right : {}) as Json;
  if (protocol === 'ip' || protocol === 'ip6') {
    if ((protocol === 'ip') !== (packet.family === 'ipv4')) return 'no';
    if (field === 'protocol' || field === 'nexthdr') return matchesProtocol(packet, String(right));
    if (field !== 'saddr' && field !== 'daddr') return 'maybe';
    const ip = field === 'saddr' ? packet.source : packet.destination;
    if (Array.isArray(range)) return matchesAddressRange(ip, String(range[0]), String(range[1]));
    const { addr, len } = (prefix ?? {}) as { addr?: string; len?: number };
    return matchesAddress(ip, prefix === undefined ? String(right) : `${addr}/${len}`);
  }
  if (TRANSPORTS.has(protocol) && protocol !== packet.protocol) return 'no';
  if (![packet.protocol, 'th'].includes(protocol) || (field !== 'sport' && field !== 'dport')) return 'maybe';
  const port = field === 'sport' ? packet.sourcePort : packet.destinationPort;
  const [first, last] = (Array.isArray(range) ? range : [right, right]).map(Number) as [number, number];
  return matchesPort(port, first, last);
}

/** A new connection was neither translated nor has it another status. */
function compareTracking(key: string, right: unknown): Answer {
  if (key === 'status') return 'no';
  return key === 'state' && !isNamedSet(right) ? answer(right === 'new') : 'maybe';
}

/** A named set: nft lists it without its elements. */
function isNamedSet(right: unknown): boolean {
  return typeof right === 'string' && right.startsWith('@');
}

function compareMeta(key: string, right: unknown, packet: Packet, { markKnown }: WalkState): Answer {
  // An object is a range or a computation.
  if (isNamedSet(right) || typeof right === 'object') return 'maybe';
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
