/**
 * ICMP errors about IPv4 packets that cannot be forwarded: RFC 792, and RFC 1812 section 4.3.2 on what they quote and
 * about which packets there are none.
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

/** As net.ipv4.icmp_msgs_per_sec and icmp_msgs_burst of the kernel. */
const PER_MS = 1;
const BURST = 50;

export class IcmpErrors {
  private readonly arena: Arena;
  private readonly checksum: Checksum;
  /** The address errors come from: IPv4, host order, signed. */
  source: number;
  private readonly clock: { now(): number };
  /** The token bucket: how many may be sent at once, and when it was last looked at. */
  private tokens = BURST;
  private time: number;

  /** `source`: as the field. `clock` gives milliseconds that only go forward. */
  constructor(arena: Arena, checksum: Checksum, source: number, clock: { now(): number }) {
    this.arena = arena;
    this.checksum = checksum;
    this.source = source;
    this.clock = clock;
    this.time = clock.now();
  }

  /**
   * Appends an error about the IPv4 packet of `length` bytes at `packet`, whose header is whole, to `errors`, whose slots
   * have LARGEST_ERROR bytes. False, with nothing done, when there may be none or there were too many.
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

  /** RFC 1812 section 4.3.2.7. */
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
    this.tokens = Math.min(BURST, this.tokens + (now - this.time) * PER_MS);
    this.time = now;
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }
}

/** Not multicast, broadcast or reserved (RFC 1112). */
function isUnicast(address: number): boolean {
  return address >>> 24 < 224;
}

/** An address that says which host it is: also neither of this network (0.0.0.0/8) nor loopback (RFC 1122). */
function isHost(address: number): boolean {
  const first = address >>> 24;
  return isUnicast(address) && first !== 0 && first !== 127;
}
