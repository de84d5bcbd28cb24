/** VXLAN, RFC 7348: the inner Ethernet frame behind an 8-byte header, its VTEP found by MAC in the FDB. */

import type { Checksum } from '../checksum/checksum.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import { CHECKSUM_PARTIAL, type PacketBatch } from '../memory/batch.js';
import { flowHash } from '../offload/flow.js';
import { PartialChecksum } from '../offload/partial-checksum.js';
import {
  destinationHigh,
  destinationLow,
  ETHERNET_LENGTH,
  isMulticast,
  sourceHigh,
  sourceLow,
} from '../wire/ethernet.js';
import { hasReservedBits, hasVni, VXLAN_LENGTH, vniOf, writeVxlan } from '../wire/vxlan.js';
import { decapsulateEcn, ECN_MASK, encapsulateEcn, NOT_ECT } from './ecn.js';
import { Fdb } from './fdb.js';
import { LearnedFdb } from './learned.js';
import type { Tunnel } from './tunnel.js';

/**
 * Who may send to this VTEP. `strict`: a frame's outer source is a lease's public IP and its inner source that lease's
 * VTEP MAC. `mac`: the inner source is some lease's MAC, from whatever address (peers behind NAT). `off`: anyone, as
 * the kernel's vxlan device.
 */
export type PeerCheck = 'strict' | 'mac' | 'off';

export interface VxlanOptions {
  vni: number;
  /** MTU of the overlay device, in bytes. */
  mtu: number;
  peerCheck: PeerCheck;
  learning: boolean;
}

/** No counter has this index. */
const ACCEPTED = -1;

export class VxlanTunnel implements Tunnel {
  readonly fdb = new Fdb();
  readonly learned: LearnedFdb | undefined;
  private readonly view: DataView;
  private readonly counters: CounterRow;
  private readonly partialChecksum: PartialChecksum;
  private readonly vni: number;
  private readonly mtu: number;
  private readonly peerCheck: PeerCheck;
  private ownHigh = 0;
  private ownLow = 0;

  constructor(arena: Arena, checksum: Checksum, counters: CounterRow, options: VxlanOptions) {
    this.view = arena.view;
    this.counters = counters;
    this.partialChecksum = new PartialChecksum(arena, checksum);
    this.vni = options.vni;
    this.mtu = options.mtu;
    this.peerCheck = options.peerCheck;
    this.learned = options.learning ? new LearnedFdb() : undefined;
  }

  /** This node's own VTEP MAC. */
  setOwnMac(high: number, low: number): void {
    this.ownHigh = high;
    this.ownLow = low;
  }

  encapsulate(batch: PacketBatch): void {
    const { view } = this;
    let kept = 0;
    for (let i = 0; i < batch.count; i++) {
      const frame = batch.offset[i];
      const length = batch.length[i];
      if (length < ETHERNET_LENGTH) {
        this.counters[COUNTER.tx_drop_runt]++;
        continue;
      }
      const high = destinationHigh(view, frame);
      const address = this.vtepOf(high, destinationLow(view, frame));
      if (address === 0) {
        this.counters[isMulticast(high) ? COUNTER.tx_drop_multicast : COUNTER.tx_drop_unknown_mac]++;
        continue;
      }
      writeVxlan(view, frame - VXLAN_LENGTH, this.vni);
      batch.move(i, kept);
      batch.offset[kept] = frame - VXLAN_LENGTH;
      batch.length[kept] += VXLAN_LENGTH;
      batch.address[kept] = address;
      batch.tos[kept] = encapsulateEcn(view, frame, length);
      batch.flow[kept] = flowHash(view, frame, length);
      kept++;
    }
    batch.count = kept;
  }

  decapsulate(batch: PacketBatch): void {
    let kept = 0;
    for (let i = 0; i < batch.count; i++) {
      const reason = this.refuse(batch.offset[i], batch.length[i], batch.address[i], batch.tos[i] & ECN_MASK);
      if (reason !== ACCEPTED) {
        this.counters[reason]++;
        continue;
      }
      batch.move(i, kept);
      batch.offset[kept] += VXLAN_LENGTH;
      batch.length[kept] -= VXLAN_LENGTH;
      this.partialChecksum.mark(batch, kept, this.mtu);
      if (batch.checksum[kept] === CHECKSUM_PARTIAL) this.counters[COUNTER.rx_partial_checksums]++;
      if (batch.segmentSize[kept] > 0) this.counters[COUNTER.rx_superpackets]++;
      kept++;
    }
    batch.count = kept;
  }

  private vtepOf(high: number, low: number): number {
    const address = this.fdb.lookup(high, low);
    if (address !== 0 || this.learned === undefined) return address;
    return this.learned.lookup(high, low);
  }

  /** The counter under which a datagram is dropped, or ACCEPTED. */
  private refuse(at: number, length: number, source: number, ecn: number): number {
    const { view } = this;
    if (length < VXLAN_LENGTH + ETHERNET_LENGTH) return COUNTER.rx_drop_runt;
    if (!hasVni(view, at)) return COUNTER.rx_drop_no_vni_flag;
    if (vniOf(view, at) !== this.vni) return COUNTER.rx_drop_unknown_vni;
    const frame = at + VXLAN_LENGTH;
    const reason = this.refuseSource(sourceHigh(view, frame), sourceLow(view, frame), source);
    if (reason !== ACCEPTED) return reason;
    if (this.learned === undefined) {
      const high = destinationHigh(view, frame);
      if ((high !== this.ownHigh || destinationLow(view, frame) !== this.ownLow) && !isMulticast(high)) {
        return COUNTER.rx_drop_not_our_mac;
      }
    }
    if (ecn !== NOT_ECT && !decapsulateEcn(view, frame, length - VXLAN_LENGTH, ecn))
      return COUNTER.rx_drop_ecn;
    if (hasReservedBits(view, at)) this.counters[COUNTER.rx_reserved_bits]++;
    return ACCEPTED;
  }

  /** The peer check; learns a MAC that no lease has, where learning is on. */
  private refuseSource(high: number, low: number, source: number): number {
    const leased = this.fdb.lookup(high, low);
    if (leased !== 0 && leased === source) return ACCEPTED;
    if (this.peerCheck === 'strict' && !this.fdb.hasVtep(source)) return COUNTER.rx_drop_unknown_vtep;
    if (leased !== 0) return this.peerCheck === 'strict' ? COUNTER.rx_drop_wrong_source_mac : ACCEPTED;
    if (this.learned !== undefined) {
      if (!isMulticast(high)) this.learned.learn(high, low, source);
      return ACCEPTED;
    }
    return this.peerCheck === 'off' ? ACCEPTED : COUNTER.rx_drop_wrong_source_mac;
  }
}
