/** Builds inner packets from a few choices: real ones, and real ones with one thing wrong. */

import type { Random } from '../random.js';
import { OWN_MAC, PEERS } from './options.js';
import {
  ETHERNET,
  type Inner,
  parse,
  pseudoSum,
  put16,
  put32,
  TCP,
  UDP,
  writeIpv4Checksum,
  writeL4Checksum,
} from './wire.js';

/** Everything of a flow that its packets share. */
export interface Flow {
  link: number;
  destination: Uint8Array;
  source: Uint8Array;
  vlan: boolean;
  v6: boolean;
  protocol: number;
  /** IPv4 options or IPv6 extension headers, and TCP options: multiples of 4 (IPv6: of 8). */
  ipOptions: Uint8Array;
  tcpOptions: Uint8Array;
  addresses: Uint8Array;
  ports: Uint8Array;
  tos: number;
  ttl: number;
  /** Flags and fragment offset of IPv4. */
  fragment: number;
}

export interface Packet {
  payload: number;
  sequence: number;
  identification: number;
  flags: number;
}

export type ChecksumKind = 'right' | 'partial' | 'wrong' | 'none';

const IPV4_OPTIONS = [0x94, 0x04, 0, 0, 1, 1, 1, 0, 0x07, 0x07, 4, 0x0a, 0, 0, 1, 0];

/** Returns a flow from `from` to `to`, in the subnets of the udp backend. */
export function randomFlow(random: Random, link: number, outbound: boolean): Flow {
  const peer = random.pick(PEERS);
  const stranger = random.oneIn(2) ? random.bytes(6) : Uint8Array.of(2, 0, 0, 0, 1, random.below(32));
  const remote = random.oneIn(12) ? stranger : peer.mac;
  const local = random.oneIn(16) ? stranger : OWN_MAC;
  const v6 = link > 0 ? random.oneIn(3) : random.oneIn(40);
  const protocol = random.oneIn(8)
    ? random.pick([1, 2, 58, 47, 132, random.below(256)])
    : random.pick([TCP, UDP]);
  const remoteIp = random.oneIn(12) ? random.bytes(4) : inSubnet(random, peer.subnet);
  const localIp = Uint8Array.of(10, 244, 1, random.oneIn(10) ? random.below(2) : random.range(2, 5));
  return {
    link,
    destination: outbound ? remote : local,
    source: outbound ? local : remote,
    vlan: random.oneIn(10),
    v6,
    protocol,
    ipOptions: ipOptions(random, v6),
    tcpOptions: random.oneIn(3) ? new Uint8Array(0) : tcpOptions(random),
    addresses: v6 ? ipv6Pair(random) : outbound ? pair(localIp, remoteIp) : pair(remoteIp, localIp),
    ports: Uint8Array.of(0x9c, random.below(3), 0, random.pick([53, 80])),
    tos: random.oneIn(3) ? random.below(256) : random.pick([0, 1, 2, 3]),
    ttl: random.oneIn(12) ? random.below(3) : 64,
    fragment: random.oneIn(4) ? random.pick([0, 0, 0, 0x2000, 0x2001, 0x1fff, 0x00b9, 0x8000]) : 0x4000,
  };
}

function inSubnet(random: Random, subnet: Uint8Array): Uint8Array {
  const address = subnet.slice();
  address[3] += random.below(126);
  return address;
}

function pair(source: Uint8Array, destination: Uint8Array): Uint8Array {
  return Uint8Array.of(...source, ...destination);
}

function ipv6Pair(random: Random): Uint8Array {
  const addresses = new Uint8Array(32);
  addresses.set([0xfd, 0, random.below(3)]);
  addresses.set([0xfd, 1, random.below(3)], 16);
  return addresses;
}

function ipOptions(random: Random, v6: boolean): Uint8Array {
  if (!random.oneIn(8)) return new Uint8Array(0);
  if (!v6) {
    const options = new Uint8Array(4 * random.range(1, 10));
    options.set(IPV4_OPTIONS.slice(0, options.length));
    return options;
  }
  // Chained by `build`, which writes next header and length of each.
  return new Uint8Array(8 * random.pick([1, 1, 2, 9, 12]));
}

function tcpOptions(random: Random): Uint8Array {
  if (!random.oneIn(6)) return Uint8Array.of(1, 1, 8, 10, 0, 0, 0, random.below(2), 0, 0, 0, 9);
  return random.bytes(4 * random.range(1, 10));
}

/** Returns a packet of a flow. */
export function build(random: Random, flow: Flow, packet: Packet, kind: ChecksumKind): Uint8Array {
  const { link, v6, protocol } = flow;
  const ip = link === 0 ? 0 : ETHERNET + (flow.vlan ? 4 : 0);
  const ipLength = (v6 ? 40 : 20) + flow.ipOptions.length;
  const l4Header = protocol === TCP ? 20 + flow.tcpOptions.length : 8;
  const l4 = ip + ipLength;
  const bytes = new Uint8Array(l4 + l4Header + packet.payload);
  fillPayload(random, bytes, l4 + l4Header);
  if (link > 0) writeEthernet(bytes, flow);
  if (v6) writeIpv6(bytes, ip, flow, bytes.length - l4);
  else writeIpv4(bytes, ip, flow, packet, bytes.length - ip);
  if (protocol === TCP) {
    bytes.set(flow.ports, l4);
    put32(bytes, l4 + 4, packet.sequence);
    bytes.fill(0x77, l4 + 8, l4 + 12);
    put16(bytes, l4 + 12, (l4Header / 4) * 0x1000 + packet.flags);
    put16(bytes, l4 + 14, 502);
    bytes.set(flow.tcpOptions, l4 + 20);
  } else if (protocol === UDP) {
    bytes.set(flow.ports, l4);
    put16(bytes, l4 + 4, bytes.length - l4);
  }
  if (!v6) writeIpv4Checksum(bytes, ip);
  writeChecksum(bytes, parse(bytes, link), kind);
  return bytes;
}

function fillPayload(random: Random, bytes: Uint8Array, from: number): void {
  let word = random.word();
  for (let at = from; at < bytes.length; at++) {
    bytes[at] = word >>> 24;
    word = (Math.imul(word, 1664525) + 1013904223) | 0;
  }
}

function writeEthernet(bytes: Uint8Array, { destination, source, vlan, v6 }: Flow): void {
  bytes.set(destination);
  bytes.set(source, 6);
  if (vlan) bytes.set([0x81, 0, 0x20, 0x64], 12);
  put16(bytes, vlan ? 16 : 12, v6 ? 0x86dd : 0x0800);
}

function writeIpv4(bytes: Uint8Array, ip: number, flow: Flow, packet: Packet, total: number): void {
  bytes[ip] = 0x45 + flow.ipOptions.length / 4;
  bytes[ip + 1] = flow.tos;
  put16(bytes, ip + 2, total);
  put16(bytes, ip + 4, packet.identification);
  put16(bytes, ip + 6, flow.fragment);
  bytes[ip + 8] = flow.ttl;
  bytes[ip + 9] = flow.protocol;
  bytes.set(flow.addresses, ip + 12);
  bytes.set(flow.ipOptions, ip + 20);
}

function writeIpv6(bytes: Uint8Array, ip: number, flow: Flow, l4Length: number): void {
  const { ipOptions: options } = flow;
  put32(bytes, ip, 0x60000000 + flow.tos * 0x100000 + 0x12345);
  put16(bytes, ip + 4, options.length + l4Length);
  bytes[ip + 6] = options.length > 0 ? 0 : flow.protocol;
  bytes[ip + 7] = flow.ttl;
  bytes.set(flow.addresses, ip + 8);
  if (options.length > 0) bytes.set([flow.protocol, options.length / 8 - 1], ip + 40);
}

function writeChecksum(bytes: Uint8Array, inner: Inner, kind: ChecksumKind): void {
  if (inner.l4 === 0) return;
  if (kind === 'none') put16(bytes, inner.checksum, 0);
  else if (kind === 'partial') put16(bytes, inner.checksum, pseudoSum(bytes, inner));
  else writeL4Checksum(bytes, inner);
  if (kind === 'wrong') bytes[inner.checksum] ^= 0x40;
}
