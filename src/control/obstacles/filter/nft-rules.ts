/** The rules that `nft -j` prints, as rules that a sample packet can follow (libnftables-json(5)). */

import { isObject, parseObject } from '../../support/json-text.js';
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
  /** The interface of an ingress or egress hook, or several. Some releases of nft leave it out (1.0.6 does). */
  dev?: string | string[];
  type: string;
  policy?: string;
}

/** The protocols above IP whose headers nft matches: a packet has one of them. */
const TRANSPORTS = new Set('tcp udp udplite sctp dccp icmp icmpv6 igmp esp ah comp gre'.split(' '));

/** Statements that neither match nor end a rule. */
const PASSIVE = new Set(['counter', 'log', 'notrack', 'flow', 'secmark', 'ct helper', 'ct timeout']);

/**
 * Returns the objects of one kind from the output of `nft -j list …`, of the fields that are checked here.
 * @throws Error with the reason for a text that is no JSON object
 */
export function nftObjects<T>(text: string, kind: 'chain' | 'rule'): T[] {
  const { nftables } = parseObject(text);
  const names = kind === 'chain' ? ['name'] : ['chain'];
  return arrayOf(nftables)
    .map((entry) => object(object(entry)[kind]))
    .filter((found) => names.every((name) => typeof found[name] === 'string')) as T[];
}

/** Returns a value that is an object, or an empty object. */
function object(value: unknown): Json {
  return isObject(value) ? value : {};
}

function arrayOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Returns key and value of an object that has one key, as expressions and statements do. */
function only(value: unknown): [kind: string, value: unknown] {
  return Object.entries(object(value))[0] ?? ['', undefined];
}

/** Returns the interfaces of ingress chains from the output of `nft list chains`, by family, table and chain. */
export function devicesByChain(text: string): Map<string, string[]> {
  const devices = new Map<string, string[]>();
  let table = '';
  let chain = '';
  for (const line of text.split('\n')) {
    table = /^table (.+) \{$/.exec(line)?.[1] ?? table;
    chain = /^\s+chain (.+) \{$/.exec(line)?.[1] ?? chain;
    const listed = /^\s+type filter hook (?:in|e)gress devices? (.+) priority /.exec(line)?.[1];
    const names = listed?.match(/[^\s"={},]+/g);
    if (names) devices.set(`${table} ${chain}`, names);
  }
  return devices;
}

/** Parses the rules of a table from the output of `nft -j list table`. @throws Error with the reason */
export function parseNftTable(text: string): Chains {
  const chains = new Map<string, FilterRule[]>();
  for (const { name } of nftObjects<{ name: string }>(text, 'chain')) chains.set(name, []);
  for (const { chain, handle, expr } of nftObjects<{ chain: string; handle: unknown; expr: unknown }>(
    text,
    'rule',
  ))
    chains.get(chain)?.push(parseRule(handle, arrayOf(expr)));
  return chains;
}

function parseRule(handle: unknown, statements: readonly unknown[]): FilterRule {
  return {
    text: `handle ${handle}: ${statements.map((statement) => only(statement)[0]).join(' ')}`,
    judge(packet, state) {
      const answers: Answer[] = [];
      let verdict: Verdict = { kind: 'continue' };
      for (const statement of statements) {
        const [kind, value] = only(statement);
        if (kind === 'match') answers.push(matchOf(object(value), packet, state));
        else if (kind === 'vmap') {
          const mapped = mappedVerdict(object(value), packet, state);
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
      return { kind, chain: String(object(value).target) };
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
  const elements = object(data).set;
  // A named map, or a listing without elements: a map of a rule is never empty.
  if (!Array.isArray(elements) || elements.length === 0)
    return { answer: 'maybe', verdict: { kind: 'unknown' } };
  for (const pair of elements) {
    const [element, value] = arrayOf(pair);
    const found = compare(key, element, packet, state);
    if (found === 'no') continue;
    const [kind, argument] = only(value);
    return {
      answer: found,
      verdict: (found === 'yes' ? verdictOf(kind, argument) : undefined) ?? { kind: 'unknown' },
    };
  }
  return { answer: 'no', verdict: { kind: 'continue' } };
}

function matchOf({ op, left, right }: Json, packet: Packet, state: WalkState): Answer {
  const found = compare(left, right, packet, state);
  if (op === '!=') return not(found);
  return op === '==' || op === 'in' ? found : 'maybe';
}

/** Compares an expression with a constant, a set, a prefix or a range. */
function compare(left: unknown, right: unknown, packet: Packet, state: WalkState): Answer {
  if (Array.isArray(right))
    // A set of a rule is never empty: this listing leaves out its elements.
    return right.length === 0 ? 'maybe' : any(right.map((value) => compare(left, value, packet, state)));
  const { set, elem, '|': flags } = object(right);
  const alternatives = set ?? flags;
  if (Array.isArray(alternatives)) return compare(left, alternatives, packet, state);
  if (elem !== undefined) return compare(left, object(elem).val, packet, state);
  const [kind, value] = only(left);
  const { key, protocol, field } = object(value);
  if (kind === 'meta') return compareMeta(String(key), right, packet, state);
  if (kind === 'ct') return compareTracking(String(key), right);
  if (kind !== 'payload' || typeof protocol !== 'string' || typeof field !== 'string') return 'maybe';
  return comparePayload(protocol, field, right, packet);
}

function comparePayload(protocol: string, field: string, right: unknown, packet: Packet): Answer {
  const { prefix, range } = object(right);
  if (protocol === 'ip' || protocol === 'ip6') {
    if ((protocol === 'ip') !== (packet.family === 'ipv4')) return 'no';
    if (field === 'protocol' || field === 'nexthdr') return matchesProtocol(packet, String(right));
    if (field !== 'saddr' && field !== 'daddr') return 'maybe';
    const ip = field === 'saddr' ? packet.source : packet.destination;
    if (Array.isArray(range)) return matchesAddressRange(ip, String(range[0]), String(range[1]));
    const { addr, len } = object(prefix);
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
