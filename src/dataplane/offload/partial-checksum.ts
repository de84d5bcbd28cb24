/**
 * Frames whose layer-4 checksum the sender left to its network card.
 *
 * A kernel VXLAN peer over a virtual link (veth, virtio) hands over inner packets as its pods made them: the checksum
 * field holds only the sum of the pseudo-header (CHECKSUM_PARTIAL, include/linux/skbuff.h), and a TCP superpacket of up
 * to 64 KB arrives as one datagram with nothing that tells its segment size. A physical link never shows either.
 */

import { Checksum } from '../checksum/checksum.js';
import type { Arena } from '../memory/arena.js';
import { CHECKSUM_PARTIAL, type PacketBatch } from '../memory/batch.js';
import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import { IPPROTO_TCP } from '../wire/tcp.js';
import { IPPROTO_UDP } from '../wire/udp.js';
import { Layer4 } from './layer4.js';

export class PartialChecksum {
  private readonly view: DataView;
  private readonly checksum: Checksum;
  private readonly layer4 = new Layer4();

  constructor(arena: Arena, checksum: Checksum) {
    this.view = arena.view;
    this.checksum = checksum;
  }

  /**
   * Marks packet `index` when its checksum is partial, and as a superpacket when it is also TCP and larger than the
   * overlay's `mtu`: its segments then fill the MTU. A complete checksum equals the pseudo-header's sum once in 65536
   * packets by chance; such a packet is marked too, and computing its checksum again changes nothing.
   *
   * A larger frame with a complete checksum is a real one, from a peer with a larger MTU; it is for the kernel to
   * fragment or to refuse.
   */
  mark(batch: PacketBatch, index: number, mtu: number): void {
    const { view, layer4 } = this;
    const frame = batch.offset[index];
    if (!layer4.locate(view, frame, batch.length[index])) return;
    if (view.getUint16(layer4.checksumField) !== Checksum.unfinished(this.pseudoHeader())) return;
    batch.checksum[index] = CHECKSUM_PARTIAL;
    if (layer4.protocol !== IPPROTO_TCP) return;
    const headers = layer4.header + layer4.headerLength - frame - ETHERNET_LENGTH;
    const payload = layer4.length - layer4.headerLength;
    if (headers + payload > mtu && headers < mtu) batch.segmentSize[index] = mtu - headers;
  }

  /** Writes the whole checksum of packet `index`, which `mark` found partial. */
  complete(batch: PacketBatch, index: number): void {
    const { view, checksum, layer4 } = this;
    if (!layer4.locate(view, batch.offset[index], batch.length[index])) return;
    view.setUint16(layer4.checksumField, 0);
    const sum = this.pseudoHeader() + checksum.partial(layer4.header, layer4.length);
    const finished = Checksum.finish(sum);
    // A UDP checksum of 0 would say that there is none (RFC 768).
    view.setUint16(
      layer4.checksumField,
      finished === 0 && layer4.protocol === IPPROTO_UDP ? 0xffff : finished,
    );
  }

  private pseudoHeader(): number {
    const { addresses, addressBytes, protocol, length } = this.layer4;
    return this.checksum.pseudoHeader(addresses, addressBytes, protocol, length);
  }
}
