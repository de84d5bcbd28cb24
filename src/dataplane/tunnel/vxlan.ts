/** VXLAN, RFC 7348: an 8-byte header and the inner Ethernet frame. The FDB maps its destination MAC to a VTEP. */

import type { UnderlayAddress } from '../../sys/sockaddr.js';
import { Recorder } from '../capture/recorder.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import type { PacketBatch } from '../memory/batch.js';
import { unstatedSegment } from '../offload/partial-checksum.js';
import { isSegmentable } from '../offload/segment.js';
import {
  destinationHigh,
  destinationLow,
  ETHERNET_LENGTH,
  isMulticast,
  sourceHigh,
  sourceLow,
} from '../wire/ethernet.js';
import {
  hasGroupPolicy,
  hasReservedBits,
  hasVni,
  isPlainVxlan,
  VXLAN_LENGTH,
  vniOf,
  writeVxlan,
} from '../wire/vxlan.js';
import { AddressTable } from './address-table.js';
import { applyChanges, applyIpv6Changes } from './changes.js';
import { decapsulateEcn, ECN_MASK, ECT_0, encapsulateEcn, NOT_ECT } from './ecn.js';
import { flowHash } from './flow-hash.js';
import type { Ipv6Addresses } from './ipv6-addresses.js';
import { LearnedFdb } from './learned.js';
import type { PeerCheck, VxlanOptions } from './options.js';
import type { PeerTable } from './peer-traffic.js';
import { RefusedSources } from './refused-sources.js';
import type { TunnelAnswer, TunnelRequest } from './requests.js';
import type { Tunnel } from './tunnel.js';

/** The verdict on a packet that passes; a counter's index otherwise. */
const ACCEPTED = -1;

export class VxlanTunnel implements Tunnel {
  recorder = Recorder.NONE;
  readonly fdb = new AddressTable();
  readonly learned: LearnedFdb | undefined;
  private readonly view: DataView;
  private readonly counters: CounterRow;
  private readonly vni: number;
  private readonly peerCheck: PeerCheck;
  private readonly ipv6Addresses: Ipv6Addresses | undefined;
  private readonly largest: number;
  /** This node's own VTEP MAC. */
  private ownHigh = 0;
  private ownLow = 0;
  readonly refused: RefusedSources;
  /** The number in `fdb.traffic` of the peer that sent the datagram checked last. */
  private sender = 0;

  /**
   * `podMtu`: MTU of the pods. `ipv6Addresses`: the numbers of the peers' addresses, where the underlay is IPv6.
   */
  constructor(
    arena: Arena,
    counters: CounterRow,
    options: VxlanOptions & { podMtu: number },
    ipv6Addresses?: Ipv6Addresses,
  ) {
    this.view = arena.view;
    this.counters = counters;
    this.vni = options.vni;
    this.largest = options.podMtu + ETHERNET_LENGTH;
    this.peerCheck = options.peerCheck;
    this.learned = options.learning ? new LearnedFdb() : undefined;
    this.ipv6Addresses = ipv6Addresses;
    this.refused = new RefusedSources((number) => this.addressOf(number));
  }

  handle(request: TunnelRequest): TunnelAnswer | undefined {
    switch (request.type) {
      case 'fdb':
        if (this.ipv6Addresses === undefined) applyChanges(this.fdb, request);
        else applyIpv6Changes(this.fdb, this.ipv6Addresses, request);
        return {};
      case 'own-mac':
        this.ownHigh = request.high;
        this.ownLow = request.low;
        return {};
      case 'learned':
        return { learned: this.learned?.entries() ?? [] };
      case 'peers':
        return { peers: this.sharePeers(), refused: this.refused.read() };
      default:
        return undefined;
    }
  }

  get peers(): AddressTable {
    return this.fdb;
  }

  private sharePeers(): PeerTable {
    const table = this.fdb.traffic.share();
    return this.ipv6Addresses === undefined ? table : { ...table, words: this.ipv6Addresses.shareWords() };
  }

  /** Returns the address that a 32-bit number stands for. */
  private addressOf(number: number): UnderlayAddress {
    return this.ipv6Addresses === undefined ? number : this.ipv6Addresses.addressOf(number);
  }

  encapsulate(batch: PacketBatch): void {
    const { view, fdb } = this;
    const { traffic } = fdb;
    if (batch.count > 0) this.learned?.readClock();
    let kept = 0;
    for (let i = 0; i < batch.count; i++) {
      const frame = batch.offset[i];
      const length = batch.length[i];
      if (length < ETHERNET_LENGTH) {
        this.dropFrame(frame, length, COUNTER.tx_drop_runt);
        continue;
      }
      const high = destinationHigh(view, frame);
      const address = this.vtepOf(high, destinationLow(view, frame));
      if (address === 0) {
        const reason = isMulticast(high) ? COUNTER.tx_drop_multicast : COUNTER.tx_drop_unknown_mac;
        this.dropFrame(frame, length, reason);
        continue;
      }
      writeVxlan(view, frame - VXLAN_LENGTH, this.vni);
      batch.move(i, kept);
      batch.offset[kept] = frame - VXLAN_LENGTH;
      batch.length[kept] += VXLAN_LENGTH;
      batch.address[kept] = address;
      batch.locate(kept, VXLAN_LENGTH, ETHERNET_LENGTH);
      const headers = batch.headers[kept];
      if (batch.gsoSize[kept] > 0 && !isSegmentable(headers)) {
        this.dropFrame(frame, length, COUNTER.tx_drop_unsegmentable, address);
        traffic.noteDrop(fdb.found, COUNTER.tx_drop_unsegmentable);
        continue;
      }
      batch.tos[kept] = headers.ip < 0 ? NOT_ECT : encapsulateEcn(view, frame + headers.ip);
      batch.flow[kept] = flowHash(view, frame, headers);
      traffic.countTx(fdb.found, batch.segments(kept), batch.wireBytes(kept, length));
      kept++;
    }
    batch.count = kept;
  }

  decapsulate(batch: PacketBatch): void {
    let kept = 0;
    // Batches mostly come from one peer, so the verdict on a packet is reused for the next one with identical headers.
    let lastGood = -1;
    let lastGoodSource = 0;
    if (batch.count > 0) this.learned?.readClock();
    for (let i = 0; i < batch.count; i++) {
      const at = batch.offset[i];
      const length = batch.length[i];
      const source = batch.address[i];
      let reason = ACCEPTED;
      if (lastGood < 0 || source !== lastGoodSource || !this.sameHeaders(at, length, lastGood)) {
        reason = this.refuse(at, length, source);
        // A verdict that also counts something (GBP, reserved bits) is never reused.
        lastGood = reason === ACCEPTED && isPlainVxlan(this.view, at) ? at : -1;
        lastGoodSource = source;
      }
      if (reason === ACCEPTED) reason = this.refuseEcn(batch, i);
      if (reason !== ACCEPTED) {
        this.counters[reason]++;
        if (this.recorder.on) this.recorder.dropDatagram(at, length, reason, source, batch.tos[i]);
        this.fdb.noteDrop(source, reason);
        continue;
      }
      batch.move(i, kept);
      batch.offset[kept] = at + VXLAN_LENGTH;
      batch.length[kept] = length - VXLAN_LENGTH;
      this.countRx(batch, kept);
      kept++;
    }
    batch.count = kept;
  }

  /** Counts packet `index`, without its tunnel header, for the peer that sent it. */
  private countRx(batch: PacketBatch, index: number): void {
    const length = batch.length[index];
    let gsoSize = batch.gsoSize[index];
    if (gsoSize === 0 && length > this.largest && batch.locate(index, 0, ETHERNET_LENGTH))
      gsoSize = unstatedSegment(batch.headers[index], this.largest);
    const packets = batch.segments(index, gsoSize);
    this.fdb.traffic.countRx(this.sender, packets, batch.wireBytes(index, length, gsoSize));
  }

  private dropFrame(frame: number, length: number, reason: number, address = 0): void {
    this.counters[reason]++;
    if (this.recorder.on) this.recorder.dropFrame(frame, length, reason, address);
  }

  private vtepOf(high: number, low: number): number {
    const address = this.fdb.lookup(high, low);
    if (address !== 0 || this.learned === undefined) return address;
    const learned = this.learned.lookup(high, low);
    this.fdb.found = this.fdb.numberOf(learned);
    return learned;
  }

  /** Returns the counter that a datagram is dropped under, or ACCEPTED. */
  private refuse(at: number, length: number, source: number): number {
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
    if (!isPlainVxlan(view, at)) this.countExtras(at);
    return ACCEPTED;
  }

  /** Counts header bits that this node ignores. */
  private countExtras(at: number): void {
    if (hasGroupPolicy(this.view, at)) this.counters[COUNTER.rx_group_policy]++;
    if (hasReservedBits(this.view, at)) this.counters[COUNTER.rx_reserved_bits]++;
  }

  private refuseEcn(batch: PacketBatch, index: number): number {
    const ecn = batch.tos[index] & ECN_MASK;
    // Neither value changes an inner header or drops a packet.
    if (ecn === NOT_ECT || ecn === ECT_0) return ACCEPTED;
    if (!batch.locateIp(index, VXLAN_LENGTH, ETHERNET_LENGTH)) return ACCEPTED;
    const ip = batch.offset[index] + VXLAN_LENGTH + batch.headers[index].ip;
    return decapsulateEcn(this.view, ip, ecn) ? ACCEPTED : COUNTER.rx_drop_ecn;
  }

  /** Returns whether a datagram has the same VXLAN header and inner MAC addresses as the datagram at `other`. */
  private sameHeaders(at: number, length: number, other: number): boolean {
    const { view } = this;
    if (length < VXLAN_LENGTH + ETHERNET_LENGTH) return false;
    for (let i = 0; i < VXLAN_LENGTH + 12; i += 4) {
      if (view.getInt32(at + i) !== view.getInt32(other + i)) return false;
    }
    return true;
  }

  /**
   * Applies the peer check and sets `sender`: the peer of the MAC, or of the address if the MAC belongs to no lease. With
   * learning, also learns such a MAC.
   */
  private refuseSource(high: number, low: number, source: number): number {
    const leased = this.fdb.lookup(high, low);
    this.sender = this.fdb.found;
    if (leased !== 0 && leased === source) return ACCEPTED;
    if (this.peerCheck === 'strict' && leased !== 0) this.refused.note(source, leased);
    if (this.peerCheck === 'strict' && !this.fdb.hasAddress(source)) {
      // The peer whose MAC it is: it is behind NAT, for example.
      if (leased !== 0) this.fdb.noteDrop(leased, COUNTER.rx_drop_unknown_vtep);
      return COUNTER.rx_drop_unknown_vtep;
    }
    if (leased !== 0) return this.peerCheck === 'strict' ? COUNTER.rx_drop_wrong_source_mac : ACCEPTED;
    this.sender = this.fdb.numberOf(source);
    if (this.learned !== undefined) {
      if (!isMulticast(high)) this.learned.learn(high, low, source);
      return ACCEPTED;
    }
    return this.peerCheck === 'off' ? ACCEPTED : COUNTER.rx_drop_wrong_source_mac;
  }
}
