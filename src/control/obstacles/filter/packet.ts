/** A sample packet, and whether the matches of firewall rules apply to it. */

import { containsAddress, parseCidr } from '../../addresses/cidr.js';
import { FAMILIES, type Family } from '../../addresses/family.js';
import { type Ip, parseIp } from '../../addresses/ip.js';

/** `maybe`: the sample does not determine it, or Weft does not know the match. */
export type Answer = 'yes' | 'no' | 'maybe';

/** The first packet of a connection: conntrack's state is new, and it has no mark. */
export interface Packet {
  family: Family;
  /** Incoming and outgoing interface: POD_SIDE towards the pods, '' without one. */
  iif: string;
  oif: string;
  source: Ip | undefined;
  destination: Ip | undefined;
  protocol: 'tcp' | 'udp';
  /** Ports that no rule names, unless the sample is about one. */
  sourcePort: number;
  destinationPort: number;
}

/** The pods' interface, whose name only the CNI plugin knows: mostly cni0. */
export const POD_SIDE = 'cni0';
/** Interfaces that are not the pods'. */
const NOT_POD_SIDE = /^(lo|docker|br-|virbr|flannel|podman|lxc|wg|tun|tap|eth|en|wl|bond)/;

export function answer(value: boolean): Answer {
  return value ? 'yes' : 'no';
}

export function not(value: Answer): Answer {
  if (value === 'maybe') return 'maybe';
  return answer(value === 'no');
}

/** Combines matches that must all apply. */
export function all(answers: readonly Answer[]): Answer {
  if (answers.includes('no')) return 'no';
  return answers.includes('maybe') ? 'maybe' : 'yes';
}

/** Combines alternatives. */
export function any(answers: readonly Answer[]): Answer {
  if (answers.includes('yes')) return 'yes';
  return answers.includes('maybe') ? 'maybe' : 'no';
}

/** Compares an interface with a name that may end with a wildcard (`+` in iptables, `*` in nft). */
export function matchesInterface(name: string, pattern: string): Answer {
  const prefix = /^(.*)[+*]$/.exec(pattern)?.[1];
  if (prefix === undefined ? name === pattern : name.startsWith(prefix)) return 'yes';
  return name === POD_SIDE && !NOT_POD_SIDE.test(pattern) ? 'maybe' : 'no';
}

/** Compares an address with an address or a CIDR. */
export function matchesAddress(ip: Ip | undefined, text: string): Answer {
  const cidr = parseCidr(text);
  const single = cidr === undefined ? parseIp(text) : undefined;
  if (ip === undefined || (cidr === undefined && single === undefined)) return 'maybe';
  return answer(cidr === undefined ? ip === single : containsAddress(cidr, ip));
}

/** Compares an address with the first and last address of a range. */
export function matchesAddressRange(ip: Ip | undefined, first: string, last: string): Answer {
  const [from, to] = [parseIp(first), parseIp(last)];
  if (ip === undefined || from === undefined || to === undefined) return 'maybe';
  return answer(ip >= from && ip <= to);
}

/** Compares a protocol with a name or number, as iptables and nft print them; anything else may match. */
export function matchesProtocol({ protocol, family }: Packet, text: string): Answer {
  const numbers = { tcp: '6', udp: '17' };
  if (text === 'all' || text === '0') return 'yes';
  if (FAMILIES.includes(text as Family)) return answer(text === family);
  if (!/^[\w.+-]+$/.test(text)) return 'maybe';
  return answer(text === protocol || text === numbers[protocol]);
}

/** Compares a port with a number or a range. */
export function matchesPort(port: number, first: number, last = first): Answer {
  return Number.isNaN(first) || Number.isNaN(last) ? 'maybe' : answer(port >= first && port <= last);
}
