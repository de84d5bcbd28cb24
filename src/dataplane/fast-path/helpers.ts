/**
 * What the kernel offers a program at a traffic control hook (linux/bpf.h): its helpers, their flags, and the packet's
 * struct __sk_buff. Each has the first kernel that has it. The fast path needs 5.13.
 */

import { at, type Memory, type Register } from './assembler.js';

/** Numbers of the helpers. */
export const HELPER = {
  mapLookUp: 1,
  time: 5, // bpf_ktime_get_ns, 4.1
  redirect: 23, // 4.2
  hash: 34, // bpf_get_hash_recalc, 4.8
  pullData: 39, // bpf_skb_pull_data, 4.9
  adjustRoom: 50, // 4.13; BPF_ADJ_ROOM_MAC since 5.2
  lookUpUdpSocket: 85, // bpf_sk_lookup_udp, 4.20
  releaseSocket: 86, // bpf_sk_release, 4.20
  redirectToNeighbour: 152, // bpf_redirect_neigh, 5.10
} as const;

/** bpf_skb_adjust_room makes or removes room between the Ethernet header and the network header. */
export const ADJUST_ROOM_MAC = 1;
export const FIXED_GSO = 1n << 0n; // 5.2
export const ENCAPSULATE_IPV4 = 1n << 1n; // 5.2
export const ENCAPSULATE_UDP = 1n << 4n; // 5.2
export const ENCAPSULATE_ETHERNET = 1n << 6n; // 5.13
/** The length of the inner link-layer header. */
export const encapsulateLink = (length: number): bigint => BigInt(length) << 56n; // 5.2

/** A socket is looked up in the network namespace of the packet's interface (BPF_F_CURRENT_NETNS, 4.20). */
export const OWN_NAMESPACE = -1;

/** A redirected packet is received by the device, instead of sent. */
export const REDIRECT_INGRESS = 1;

/**
 * Results of a program (linux/pkt_cls.h): `next` lets the next program of the hook see the packet, and at last the kernel.
 * TCX_NEXT and TC_ACT_UNSPEC are the same number.
 */
export const VERDICT = { next: -1, drop: 2, redirect: 7 } as const;

/** Offsets in struct __sk_buff. */
const CONTEXT = {
  length: 0,
  packetType: 4,
  protocol: 16,
  vlanPresent: 20,
  data: 76,
  dataEnd: 80,
  gsoSegments: 164, // 5.1
  gsoSize: 176, // 5.7
} as const;

/** linux/if_packet.h: the packet is for this host. */
export const PACKET_HOST = 0;

/** Returns a field of the packet's struct __sk_buff, to which `context` points. */
export function field(context: Register, name: keyof typeof CONTEXT): Memory {
  return at(context, CONTEXT[name]);
}
