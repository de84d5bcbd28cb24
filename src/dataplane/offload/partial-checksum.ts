/**
 * Packets whose layer-4 checksum the source left to its network card.
 *
 * A kernel VXLAN peer over a virtual link (veth, virtio) passes inner packets on as its pods made them. The checksum
 * field then holds only the sum of the pseudo-header (CHECKSUM_PARTIAL, include/linux/skbuff.h). A TCP superpacket of
 * up to 64 KB arrives as one datagram without its segment size. Neither happens over a physical link.
 */

import { Checksum } from '../checksum/checksum.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import { CHECKSUM_PARTIAL, type PacketBatch } from '../memory/batch.js';
import type { InnerHeaders } from '../memory/inner-headers.js';
import { IPPROTO_TCP } from '../wire/tcp.js';
import { IPPROTO_UDP } from '../wire/udp.js';
import { MAX_HEADERS, MIN_TCP_SEGMENT } from './segment.js';

/**
 * Returns the bytes of payload of each segment of a TCP superpacket that came without that size: its segments fill the
 * pods' MTU. Returns 0 for any other packet. `largest`: as for PartialChecksum.
 */
export function unstatedSegment(headers: InnerHeaders, largest: number): number {
  const { protocol, transport, transportLength, headersLength } = headers;
  if (protocol !== IPPROTO_TCP || transport + transportLength <= largest) return 0;
  // Headers that IPv6 options fill would leave segments of a few bytes.
  return headersLength <= Math.min(MAX_HEADERS, largest - MIN_TCP_SEGMENT) ? largest - headersLength : 0;
}

export class PartialChecksum {
  private readonly view: DataView;
  private readonly checksum: Checksum;
  private readonly counters: CounterRow;
  private readonly largest: number;

  /** `largest`: bytes of the largest packet that the pods' MTU allows, with its link header. */
  constructor(arena: Arena, checksum: Checksum, counters: CounterRow, largest: number) {
    this.view = arena.view;
    this.checksum = checksum;
    this.counters = counters;
    this.largest = largest;
  }

  /**
   * Marks packet `index`, which has been located, when its checksum is partial. A TCP packet that is also larger than
   * the pods' MTU becomes a superpacket whose segments fill the MTU. Returns the pseudo-header's sum.
   *
   * One complete checksum in 65536 equals the pseudo-header's sum by chance. Such a packet is marked too, and computing
   * its checksum again changes nothing. A larger packet with a complete checksum is a real one, from a peer with a
   * larger MTU; the kernel fragments or refuses it.
   */
  detect(batch: PacketBatch, index: number): number {
    const packet = batch.offset[index];
    const { protocol, addresses, addressBytes, checksumField, transportLength } = batch.headers[index];
    const pseudoHeader = this.checksum.pseudoHeader(
      packet + addresses,
      addressBytes,
      protocol,
      transportLength,
    );
    const field = this.view.getUint16(packet + checksumField);
    if (field !== Checksum.pseudoHeaderField(pseudoHeader)) return pseudoHeader;
    this.mark(batch, index);
    const gsoSize = unstatedSegment(batch.headers[index], this.largest);
    if (gsoSize > 0) {
      batch.gsoSize[index] = gsoSize;
      this.counters[COUNTER.rx_superpackets]++;
    }
    return pseudoHeader;
  }

  /** Returns whether a packet of `length` bytes exceeds the pods' MTU. */
  isLarger(length: number): boolean {
    return length > this.largest;
  }

  /** Marks packet `index`, whose checksum field holds the pseudo-header's sum. */
  mark(batch: PacketBatch, index: number): void {
    batch.checksum[index] = CHECKSUM_PARTIAL;
    this.counters[COUNTER.rx_partial_checksums]++;
  }

  /** Writes the complete checksum of packet `index`; `pseudoHeader` is what `detect` returned for it. */
  complete(batch: PacketBatch, index: number, pseudoHeader: number): void {
    const { view, checksum } = this;
    const packet = batch.offset[index];
    const { protocol, checksumField, transport, transportLength } = batch.headers[index];
    view.setUint16(packet + checksumField, 0);
    const field = Checksum.field(pseudoHeader + checksum.sum(packet + transport, transportLength));
    // A UDP checksum of 0 means that there is no checksum (RFC 768).
    view.setUint16(packet + checksumField, field === 0 && protocol === IPPROTO_UDP ? 0xffff : field);
  }
}
