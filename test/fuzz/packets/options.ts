/** The node that is fuzzed: its options, its peers, and the addresses that its packets use. */

import { hex } from '../../support/bytes.js';

export const PACKET_TARGETS = [
  'vxlan-none',
  'vxlan-gso',
  'vxlan6-none',
  'vxlan6-gso',
  'udp-none',
  'udp-gso',
] as const;
export type PacketTarget = (typeof PACKET_TARGETS)[number];

export interface PacketOptions {
  tunnel: 'vxlan' | 'udp';
  level: 'none' | 'gso';
  /** Whether the underlay is IPv6. */
  v6: boolean;
  vni: number;
  peerCheck: 'strict' | 'mac' | 'off';
  learning: boolean;
  uso: boolean;
  superpackets: boolean;
  maxRun: number;
  podMtu: number;
  /** Number of transmit sockets. */
  sockets: number;
}

/** IPv4, host order. */
export const OWN_ADDRESS = 0x0af40100;
export const OWN_MAC = hex('02000000000b');
export const UDP_PORT = 8472;

export interface Peer {
  mac: Uint8Array;
  v4: Uint8Array;
  v6: Uint8Array;
  subnet: Uint8Array;
  prefixLength: number;
}

/** The third and the fourth peer have one address; the last two subnets lie inside that of the third. */
export const PEERS: readonly Peer[] = [
  ['0200000000a1', 'c0a84d01', 'fd000000000000000000000000000001', '0af40200', 24],
  ['0200000000a2', 'c0a84d02', 'fd000000000000000000000000000002', '0af40300', 24],
  ['0200000000a3', 'c0a84d03', 'fd0000000000000000000000ffff0003', '0af50000', 16],
  ['0200000000a4', 'c0a84d03', 'fd0000000000000000000000ffff0003', '0af50480', 25],
  ['0200000000a5', 'c0a84d05', 'fd000000000000000000000000000005', '0af50500', 24],
].map(([mac, v4, v6, subnet, prefixLength]) => ({
  mac: hex(String(mac)),
  v4: hex(String(v4)),
  v6: hex(String(v6)),
  subnet: hex(String(subnet)),
  prefixLength: Number(prefixLength),
}));

/** Sources of messages: the peers, and addresses of no lease. */
export const STRANGERS: readonly Pick<Peer, 'v4' | 'v6'>[] = [
  { v4: hex('c0a84d63'), v6: hex('fd000000000000000000000000000063') },
  { v4: hex('7f000001'), v6: hex('00000000000000000000000000000001') },
  { v4: hex('00000000'), v6: hex('00000000000000000000000000000000') },
  { v4: hex('ffffffff'), v6: hex('ffffffffffffffffffffffffffffffff') },
  // More than the dataplane has numbers for (Ipv6Addresses).
  ...Array.from({ length: 24 }, (_, index) => ({
    v4: Uint8Array.of(192, 168, 78, index),
    v6: Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 78, index),
  })),
];

export function sourceAddress(v6: boolean, index: number): Uint8Array {
  const all = [...PEERS, ...STRANGERS];
  const { v4, v6: long } = all[index % all.length];
  return v6 ? long : v4;
}

export const SOURCES = PEERS.length + STRANGERS.length;
