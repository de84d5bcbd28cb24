/**
 * ICMP echo messages (RFC 792, RFC 4443): type @0 (1), code @1 (1), checksum @2 (2), identifier @4 (2), sequence @6 (2).
 * An error message has its own code and, if a packet was too large, the MTU; the packet's first bytes follow @8.
 */

import { internetChecksum } from '../checksum/bytes.js';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, isIcmpError } from '../wire/icmp.js';
import { IPV4_MIN_LENGTH, ipv4Destination, ipv4HeaderLength, ipv4Protocol } from '../wire/ipv4.js';
import { IPV6_ADDRESSES, IPV6_LENGTH, ipv6NextHeader } from '../wire/ipv6.js';
import { IPPROTO_UDP } from '../wire/udp.js';

const ECHO_LENGTH = 8;
const MAX_ICMPV6_ERROR = 127;

/** What differs between ICMP and ICMPv6. */
export interface EchoKind {
  readonly request: number;
  readonly reply: number;
  /** Bytes of the IP header. */
  readonly ipLength: number;
  readonly tooBig: { readonly type: number; readonly code: number };
  /** Type of "destination unreachable", and its code for a port on which nothing listens. */
  readonly unreachable: number;
  readonly portUnreachable: number;
}

export const ECHO4: EchoKind = {
  request: 8,
  reply: 0,
  ipLength: IPV4_MIN_LENGTH,
  tooBig: { type: 3, code: 4 },
  unreachable: 3,
  portUnreachable: 3,
};

export const ECHO6: EchoKind = {
  request: 128,
  reply: 129,
  ipLength: IPV6_LENGTH,
  tooBig: { type: 2, code: 0 },
  unreachable: 1,
  portUnreachable: 4,
};

/** The smallest packet that a probe can be, in bytes from the IP header on. */
export const SMALLEST_ECHO = 64;

/** Returns an echo request whose packet has `size` bytes from the IP header on. The kernel sets the checksum of ICMPv6. */
export function echoRequest(kind: EchoKind, size: number, identifier: number, sequence: number): Uint8Array {
  const bytes = new Uint8Array(Math.max(size - kind.ipLength, ECHO_LENGTH));
  const view = new DataView(bytes.buffer);
  view.setUint8(0, kind.request);
  view.setUint16(4, identifier);
  view.setUint16(6, sequence);
  // A packet of zeros may be compressed or refused on the way.
  for (let at = ECHO_LENGTH; at < bytes.length; at++) bytes[at] = at & 0xff;
  if (kind === ECHO4) view.setUint16(2, internetChecksum(view));
  return bytes;
}

/** A received message that concerns a probe. */
export type Received =
  | { readonly type: 'reply'; readonly identifier: number; readonly sequence: number }
  | {
      readonly type: 'error';
      /** What the failed packet was: an echo request of ours, or a datagram to a port. */
      readonly echo?: { readonly identifier: number; readonly sequence: number };
      readonly datagram?: { readonly destination: string; readonly port: number };
      readonly code: number;
      readonly portUnreachable: boolean;
      /** The largest packet that a link on the path carries; undefined for another error, 0 if the router is older. */
      readonly mtu?: number;
    };

/** Parses an ICMP message; undefined for one that concerns no probe. `at` is where the message begins. */
export function parseIcmp(kind: EchoKind, view: DataView, at: number): Received | undefined {
  if (view.byteLength < at + ECHO_LENGTH) return undefined;
  const [type, code] = [view.getUint8(at), view.getUint8(at + 1)];
  if (type === kind.reply)
    return { type: 'reply', identifier: view.getUint16(at + 4), sequence: view.getUint16(at + 6) };
  const isError = kind === ECHO4 ? isIcmpError(type) : type <= MAX_ICMPV6_ERROR;
  const quoted = isError ? quotedPacket(kind, view, at + ECHO_LENGTH) : undefined;
  if (quoted === undefined) return undefined;
  const tooBig = type === kind.tooBig.type && code === kind.tooBig.code;
  return {
    type: 'error',
    ...quoted,
    code,
    portUnreachable: type === kind.unreachable && code === kind.portUnreachable,
    ...(tooBig && { mtu: kind === ECHO4 ? view.getUint16(at + 6) : view.getUint32(at + 4) }),
  };
}

type Quoted = Pick<Extract<Received, { type: 'error' }>, 'echo' | 'datagram'>;

function quotedPacket(kind: EchoKind, view: DataView, at: number): Quoted | undefined {
  if (view.byteLength < at + kind.ipLength) return undefined;
  const ipv4 = kind === ECHO4;
  const protocol = ipv4 ? ipv4Protocol(view, at) : ipv6NextHeader(view, at);
  const inner = at + (ipv4 ? ipv4HeaderLength(view, at) : IPV6_LENGTH);
  if (view.byteLength < inner + ECHO_LENGTH) return undefined;
  if (protocol === (ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
    if (view.getUint8(inner) !== kind.request) return undefined;
    return { echo: { identifier: view.getUint16(inner + 4), sequence: view.getUint16(inner + 6) } };
  }
  if (protocol !== IPPROTO_UDP) return undefined;
  const destination = ipv4 ? key4(ipv4Destination(view, at)) : key6(view, at + IPV6_ADDRESSES + 16);
  return { datagram: { destination, port: view.getUint16(inner + 2) } };
}

/** Returns the form in which addresses are compared. */
export function key4(address: number): string {
  return String(address | 0);
}

export function key6(view: DataView, at: number): string {
  return [0, 4, 8, 12].map((offset) => view.getInt32(at + offset)).join();
}
