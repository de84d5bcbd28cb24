/**
 * ICMP errors about IPv4 packets that cannot be forwarded (RFC 792). RFC 1812 section 4.3.2 defines what they quote and
 * which packets cause no error.
 */

import type { Checksum } from '../checksum/checksum.js';
import type { Arena } from '../memory/arena.js';
import type { PacketBatch } from '../memory/batch.js';
import {
  ICMP_LENGTH,
  IPPROTO_ICMP,
  icmpType,
  isIcmpError,
  setIcmpChecksum,
  writeIcmp,
} from '../wire/icmp.js';
import {
  IPV4_MIN_LENGTH,
  ipv4Destination,
  ipv4HeaderLength,
  ipv4Protocol,
  ipv4Source,
  isLaterIpv4Fragment,
  setIpv4Addresses,
  writeIpv4,
} from '../wire/ipv4.js';

/** Bytes of the largest error message: RFC 1812 section 4.3.2.3. */
export const LARGEST_ERROR = 576;
/** Internetwork control: RFC 1812 section 4.3.2.5. */
const TOS = 0xc0;

/** The kernel's defaults of net.ipv4.icmp_msgs_per_sec and icmp_msgs_burst. */
const TOKENS_PER_MS = 1;
const MAX_TOKENS = 50;

export class IcmpErrors {
  private readonly arena: Arena;
  private readonly checksum: Checksum;
  /** The source address of the errors: IPv4, host order, signed. */
  source: number;
  private readonly clock: { now(): number };
  /** The token bucket: each error takes a token. `time` is when it was last filled. */
  private tokens = MAX_TOKENS;
  private time: number;

  /** `clock` returns monotonic milliseconds. */
  constructor(arena: Arena, checksum: Checksum, source: number, clock: { now(): number }) {
    this.arena = arena;
    this.checksum = checksum;
    this.source = source;
    this.clock = clock;
    this.time = clock.now();
  }

  /**
   * Appends an error about the IPv4 packet of `length` bytes at `packet`, whose header is complete, to `errors`, whose
   * slots have LARGEST_ERROR bytes. Returns false and appends nothing if RFC 1812 forbids an error or too many were sent.
   */
  append(errors: PacketBatch, type: number, code: number, packet: number, length: number): boolean {
    const { view, bytes } = this.arena;
    if (!this.mayReport(packet, length) || errors.count === errors.capacity || !this.takeToken())
      return false;
    const index = errors.count++;
    const ip = errors.slot(index);
    const icmp = ip + IPV4_MIN_LENGTH;
    const quote = icmp + ICMP_LENGTH;
    const quoted = Math.min(length, LARGEST_ERROR - IPV4_MIN_LENGTH - ICMP_LENGTH);
    const total = IPV4_MIN_LENGTH + ICMP_LENGTH + quoted;
    bytes.copyWithin(quote, packet, packet + quoted);
    writeIpv4(view, ip, TOS, total, IPPROTO_ICMP);
    setIpv4Addresses(view, ip, this.source, ipv4Source(view, packet));
    this.checksum.writeIpv4Header(ip);
    writeIcmp(view, icmp, type, code);
    setIcmpChecksum(view, icmp, this.checksum.compute(icmp, ICMP_LENGTH + quoted));
    errors.set(index, ip, total);
    return true;
  }

  /** Returns whether RFC 1812 section 4.3.2.7 allows an error about a packet. */
  private mayReport(packet: number, length: number): boolean {
    const { view } = this.arena;
    if (!isHost(ipv4Source(view, packet)) || !isUnicast(ipv4Destination(view, packet))) return false;
    if (isLaterIpv4Fragment(view, packet)) return false;
    if (ipv4Protocol(view, packet) !== IPPROTO_ICMP) return true;
    const header = ipv4HeaderLength(view, packet);
    return header < length && !isIcmpError(icmpType(view, packet + header));
  }

  private takeToken(): boolean {
    const now = this.clock.now();
    this.tokens = Math.min(MAX_TOKENS, this.tokens + (now - this.time) * TOKENS_PER_MS);
    this.time = now;
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }
}

/** Returns whether an address is not multicast, broadcast or reserved (RFC 1112). */
function isUnicast(address: number): boolean {
  return address >>> 24 < 224;
}

/** Returns whether an address identifies a host: unicast, but neither 0.0.0.0/8 nor loopback (RFC 1122). */
function isHost(address: number): boolean {
  const first = address >>> 24;
  return isUnicast(address) && first !== 0 && first !== 127;
}
