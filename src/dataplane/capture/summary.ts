/** One readable line per packet, in the manner of tcpdump. It reads any bytes: what it does not know, it names so. */

import {
  ETHERNET_LENGTH,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  formatMac,
} from '../wire/ethernet.js';
import { IPPROTO_ICMP, IPPROTO_ICMPV6 } from '../wire/icmp.js';
import { IPV4_MIN_LENGTH } from '../wire/ipv4.js';
import { IPV6_LENGTH } from '../wire/ipv6.js';
import { IPPROTO_TCP, TCP_MIN_LENGTH } from '../wire/tcp.js';
import { IPPROTO_UDP, UDP_LENGTH } from '../wire/udp.js';
import { VXLAN_LENGTH } from '../wire/vxlan.js';

const TCP_FLAGS = [
  [0x02, 'S'],
  [0x01, 'F'],
  [0x04, 'R'],
  [0x08, 'P'],
  [0x10, '.'],
] as const;
const ICMP_TYPES: Readonly<Record<number, string>> = {
  0: 'echo reply',
  3: 'unreachable',
  8: 'echo request',
  11: 'time exceeded',
};
const ICMPV6_TYPES: Readonly<Record<number, string>> = {
  1: 'unreachable',
  2: 'packet too big',
  3: 'time exceeded',
  128: 'echo request',
  129: 'echo reply',
  133: 'router solicitation',
  134: 'router advertisement',
  135: 'neighbour solicitation',
  136: 'neighbour advertisement',
};

/** What a datagram of the tunnel contains. */
export type Payload = 'vxlan' | 'ip';

/** Describes an Ethernet frame. `payload`: what a UDP datagram in it contains, if it is one of the tunnel. */
export function describeFrame(bytes: Buffer, payload?: Payload): string {
  if (bytes.length < ETHERNET_LENGTH) return `${bytes.length} bytes of an Ethernet header`;
  const type = bytes.readUInt16BE(12);
  const rest = bytes.subarray(ETHERNET_LENGTH);
  if (type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6) return describeIp(rest, payload);
  if (type === ETHERTYPE_ARP) return describeArp(rest);
  return `${formatMac(bytes, 6)} > ${formatMac(bytes, 0)}: EtherType 0x${type.toString(16).padStart(4, '0')}`;
}

function describeIp(bytes: Buffer, payload?: Payload): string {
  const version = (bytes[0] ?? 0) >> 4;
  if (version === 4 && bytes.length >= IPV4_MIN_LENGTH) {
    const header = 4 * (bytes.readUInt8(0) & 0xf);
    const names: [string, string] = [ipv4At(bytes, 12), ipv4At(bytes, 16)];
    if ((bytes.readUInt16BE(6) & 0x1fff) !== 0) return `${names.join(' > ')}: later fragment`;
    return describeTransport(bytes.readUInt8(9), names, bytes.subarray(header), payload);
  }
  if (version === 6 && bytes.length >= IPV6_LENGTH) {
    const names: [string, string] = [ipv6At(bytes, 8), ipv6At(bytes, 24)];
    return describeTransport(bytes.readUInt8(6), names, bytes.subarray(IPV6_LENGTH), payload);
  }
  const isCut = version === 4 || version === 6 || bytes.length === 0;
  return `${bytes.length} bytes ${isCut ? 'of an IP header' : 'that are no IP packet'}`;
}

function describeTransport(
  protocol: number,
  [source, destination]: [string, string],
  bytes: Buffer,
  payload?: Payload,
): string {
  const hosts = `${source} > ${destination}`;
  if (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) {
    const type = bytes[0] ?? 0;
    const name = (protocol === IPPROTO_ICMP ? ICMP_TYPES : ICMPV6_TYPES)[type] ?? `type ${type}`;
    const sequence = name.startsWith('echo') && bytes.length >= 8 ? `, seq ${bytes.readUInt16BE(6)}` : '';
    return `${hosts}: ${protocol === IPPROTO_ICMP ? 'ICMP' : 'ICMPv6'} ${name}${sequence}`;
  }
  if ((protocol !== IPPROTO_TCP && protocol !== IPPROTO_UDP) || bytes.length < UDP_LENGTH)
    return `${hosts}: protocol ${protocol}`;
  const ends = `${source}.${bytes.readUInt16BE(0)} > ${destination}.${bytes.readUInt16BE(2)}`;
  if (protocol === IPPROTO_TCP) return `${ends}: TCP${tcpText(bytes)}`;
  const content = bytes.subarray(UDP_LENGTH);
  if (payload === 'vxlan') return `${ends}: ${describeVxlan(content)}`;
  if (payload === 'ip') return `${ends}: ${describeIp(content)}`;
  return `${ends}: UDP, length ${Math.max(0, bytes.readUInt16BE(4) - UDP_LENGTH)}`;
}

function tcpText(bytes: Buffer): string {
  if (bytes.length < TCP_MIN_LENGTH) return '';
  const flags = bytes.readUInt8(13);
  const names = TCP_FLAGS.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
  return ` [${names.join('')}], seq ${bytes.readUInt32BE(4)}, ack ${bytes.readUInt32BE(8)}`;
}

function describeVxlan(bytes: Buffer): string {
  if (bytes.length < VXLAN_LENGTH) return `${bytes.length} bytes, without a VXLAN header`;
  if ((bytes.readUInt8(0) & 0x08) === 0) return 'VXLAN without a VNI';
  return `VXLAN ${bytes.readUIntBE(4, 3)}: ${describeFrame(bytes.subarray(VXLAN_LENGTH))}`;
}

function describeArp(bytes: Buffer): string {
  if (bytes.length < 28) return 'ARP';
  const [target, sender] = [ipv4At(bytes, 24), ipv4At(bytes, 14)];
  return bytes.readUInt16BE(6) === 1
    ? `ARP who has ${target}? tell ${sender}`
    : `ARP ${sender} is at ${formatMac(bytes, 8)}`;
}

function ipv4At(bytes: Buffer, at: number): string {
  return [...bytes.subarray(at, at + 4)].join('.');
}

function ipv6At(bytes: Buffer, at: number): string {
  const words = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(at + 2 * index).toString(16));
  // RFC 5952: the first of the longest runs of at least two zero words is shortened.
  const runs = words.join(':').match(/(?<![0-9a-f])0(?::0(?![0-9a-f]))+/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '');
  if (longest === '') return words.join(':');
  const [before = '', ...after] = ` ${words.join(':')} `
    .replace(new RegExp(`(?<![0-9a-f])${longest}(?![0-9a-f])`), '|')
    .split('|');
  return `${before.trim().replace(/:$/, '')}::${after.join('|').trim().replace(/^:/, '')}`;
}
