/**
 * Superpackets of the tunnel arrive over a virtual link only. Behind the tunnel they keep a mark (skb->encapsulation), which
 * a program cannot remove:
 *
 * - The kernel would cut a UDP superpacket as if its UDP header were that of the tunnel (net/ipv4/udp_offload.c,
 *   udp4_ufo_fragment).
 * - A bridge older than Linux 6.19 has no offloads for marked packets (dev->hw_enc_features). The kernel therefore cuts
 *   them in front of the pods' bridge, which costs most of the throughput.
 *
 * So these superpackets take the forwarding threads, which make new ones of them. For a while all packets of the same peer
 * follow them, because a packet of the fast path would overtake them.
 *
 * R6: the packet. R7: its data. R8: the inner protocol. R9: the peer's entry.
 */

import { isAtLeast, type KernelVersion } from '../../sys/kernel-version.js';
import { IPPROTO_TCP } from '../wire/tcp.js';
import {
  type Assembler,
  at,
  constant,
  FP,
  type Label,
  R0,
  R1,
  R2,
  R3,
  R4,
  R5,
  R6,
  R7,
  R8,
  R9,
} from './assembler.js';
import { field, HELPER, OWN_NAMESPACE } from './helpers.js';
import { IPV4, OUTER_IP, OUTER_UDP, UDP } from './layout.js';
import { TUPLE } from './steps.js';
import { ENTRY } from './tables.js';

/** The first kernel whose bridges have the offloads of their ports for marked packets (net/bridge/br_if.c). */
const BRIDGE_KEEPS: KernelVersion = [6, 19, 0];

/** Nanoseconds for which packets follow a superpacket. A packet spends less time in a forwarding thread. */
const FOLLOW = 10_000_000;

/** Bytes of the addresses and ports of struct bpf_sock_tuple. */
const TUPLE_SIZE = 12;

/** Returns whether this kernel keeps TCP superpackets whole on their way to the pods. */
export function keepsSuperpackets(version: KernelVersion): boolean {
  return isAtLeast(version, BRIDGE_KEEPS);
}

/**
 * Continues for a packet that no superpacket of its peer precedes in the threads. Without a socket that receives them, TCP
 * superpackets continue too: a Weft that is gone, or comes back later, stops no connection.
 */
export function keepOrder(a: Assembler, isKept: boolean, { pass, mark }: { pass: Label; mark: Label }): void {
  const superpacket = a.label('superpacket');
  const fast = a.label('fast');
  a.load(4, R0, field(R6, 'gsoSize'));
  a.jumpIf(R0, '!=', constant(0), superpacket);
  a.load(8, R1, at(R9, ENTRY.superpacketTime));
  a.jumpIf(R1, '==', constant(0), fast);
  a.call(HELPER.time);
  a.load(8, R1, at(R9, ENTRY.superpacketTime));
  a.alu('sub', R0, R1);
  a.jumpIf(R0, '>', constant(FOLLOW), fast);
  demandSocket(a, fast);
  a.jump(pass);
  a.place(superpacket);
  a.jumpIf(R8, '!=', constant(IPPROTO_TCP), mark);
  if (!isKept) {
    demandSocket(a, fast);
    a.jump(mark);
  }
  a.place(fast);
}

/** Notes that a superpacket of the peer takes the threads. */
export function markSuperpacket(a: Assembler): void {
  a.call(HELPER.time);
  a.store(8, at(R9, ENTRY.superpacketTime), R0);
}

/** Continues if a socket receives the datagram. */
function demandSocket(a: Assembler, otherwise: Label): void {
  a.load(8, R0, at(R7, OUTER_IP + IPV4.source));
  a.store(8, at(FP, TUPLE), R0);
  a.load(4, R0, at(R7, OUTER_UDP + UDP.source));
  a.store(4, at(FP, TUPLE + 8), R0);
  a.move(R1, R6);
  a.move(R2, FP);
  a.alu('add', R2, constant(TUPLE));
  a.move(R3, constant(TUPLE_SIZE));
  a.move(R4, constant(OWN_NAMESPACE));
  a.move(R5, constant(0));
  a.call(HELPER.lookUpUdpSocket);
  a.jumpIf(R0, '==', constant(0), otherwise);
  a.move(R1, R0);
  a.call(HELPER.releaseSocket);
}
