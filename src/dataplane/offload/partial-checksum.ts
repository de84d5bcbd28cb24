/**
 * Frames whose layer-4 checksum the sender left to its network card.
 *
 * A kernel VXLAN peer over a virtual link (veth, virtio) hands over inner packets as its pods made them: the checksum
 * field holds only the sum of the pseudo-header (CHECKSUM_PARTIAL, include/linux/skbuff.h), and a TCP superpacket of up
 * to 64 KB arrives as one datagram with nothing that tells its segment size. A physical link never shows either.
 */

import { Checksum } from '../checksum/checksum.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import { CHECKSUM_PARTIAL, type PacketBatch } from '../memory/batch.js';
import type { Layer4 } from '../wire/inner-headers.js';
import { IPPROTO_TCP } from '../wire/tcp.js';
import { IPPROTO_UDP } from '../wire/udp.js';

export class PartialChecksum {
  /** The pseudo-header's sum of the packet that `mark` looked at last. */
  pseudoHeader = 0;
  private readonly view: DataView;
  private readonly checksum: Checksum;
  private readonly counters: CounterRow;
  private readonly mtu: number;

  /** `mtu`: that of the pods, in bytes. */
  constructor(arena: Arena, checksum: Checksum, counters: CounterRow, mtu: number) {
    this.view = arena.view;
    this.checksum = checksum;
    this.counters = counters;
    this.mtu = mtu;
  }

  /**
   * Marks packet `index`, which `layer4` has located, when its checksum is partial, and as a superpacket when it is also
   * TCP and larger than the pods' MTU: its segments then fill the MTU. A complete checksum equals the pseudo-header's
   * sum once in 65536 packets by chance; such a packet is marked too, and computing its checksum again changes nothing.
   *
   * A larger frame with a complete checksum is a real one, from a peer with a larger MTU; it is for the kernel to
   * fragment or to refuse.
   */
  mark(batch: PacketBatch, index: number, layer4: Layer4): void {
    const { addresses, addressBytes, protocol, length } = layer4;
    this.pseudoHeader = this.checksum.pseudoHeader(addresses, addressBytes, protocol, length);
    if (this.view.getUint16(layer4.checksumField) !== Checksum.unfinished(this.pseudoHeader)) return;
    this.found(batch, index);
    if (protocol !== IPPROTO_TCP) return;
    const headers = layer4.header + layer4.headerLength - batch.offset[index] - layer4.linkLength;
    const payload = length - layer4.headerLength;
    if (headers + payload <= this.mtu || headers >= this.mtu) return;
    batch.segmentSize[index] = this.mtu - headers;
    this.counters[COUNTER.rx_superpackets]++;
  }

  /** Marks packet `index`, whose field is known to hold the pseudo-header's sum. */
  found(batch: PacketBatch, index: number): void {
    batch.checksum[index] = CHECKSUM_PARTIAL;
    this.counters[COUNTER.rx_partial_checksums]++;
  }

  /** Writes the whole checksum of the packet that `mark` looked at last. */
  complete(layer4: Layer4): void {
    const { view, checksum } = this;
    view.setUint16(layer4.checksumField, 0);
    const sum = this.pseudoHeader + checksum.partial(layer4.header, layer4.length);
    const finished = Checksum.finish(sum);
    // A UDP checksum of 0 would say that there is none (RFC 768).
    view.setUint16(
      layer4.checksumField,
      finished === 0 && layer4.protocol === IPPROTO_UDP ? 0xffff : finished,
    );
  }
}
