/**
 * flannel's udp backend: a datagram is an inner IPv4 packet without a tunnel header. Longest prefix match finds the peer.
 * Like a router, the tunnel decrements the TTL in both directions and reports undeliverable packets by ICMP (RFC 1812
 * sections 4.3.3.1 and 5.3.1).
 */

import { Recorder } from '../capture/recorder.js';
import type { Checksum } from '../checksum/checksum.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import type { PacketBatch } from '../memory/batch.js';
import { isSegmentable } from '../offload/segment.js';
import {
  ICMP_NET_UNREACHABLE,
  ICMP_TIME_EXCEEDED,
  ICMP_TTL_EXCEEDED,
  ICMP_UNREACHABLE,
} from '../wire/icmp.js';
import {
  decrementIpv4Ttl,
  IPV4_MIN_LENGTH,
  ipv4Destination,
  ipv4HeaderLength,
  ipv4Source,
  ipv4TotalLength,
  ipv4Ttl,
  ipv4Version,
} from '../wire/ipv4.js';
import type { AddressTable } from './address-table.js';
import { applyChanges } from './changes.js';
import { decapsulateEcn, ECN_MASK, encapsulateEcn, NOT_ECT } from './ecn.js';
import { IcmpErrors } from './icmp-error.js';
import type { PeerCheck, UdpTunnelOptions } from './options.js';
import { RefusedSources } from './refused-sources.js';
import type { TunnelAnswer, TunnelRequest } from './requests.js';
import { Routes } from './routes.js';
import type { Tunnel } from './tunnel.js';

/** The verdict on a packet that passes; a counter's index otherwise. */
const ACCEPTED = -1;

/** Counters of malformed packets, by direction. */
const TX = {
  runt: COUNTER.tx_drop_runt,
  notIpv4: COUNTER.tx_drop_not_ipv4,
  badLength: COUNTER.tx_drop_bad_length,
};
const RX: typeof TX = {
  runt: COUNTER.rx_drop_runt,
  notIpv4: COUNTER.rx_drop_not_ipv4,
  badLength: COUNTER.rx_drop_bad_length,
};

export class UdpTunnel implements Tunnel {
  recorder = Recorder.NONE;
  readonly routes = new Routes();
  private readonly view: DataView;
  private readonly counters: CounterRow;
  private readonly peerCheck: PeerCheck;
  private readonly errors: IcmpErrors;
  readonly refused = new RefusedSources((address) => address);
  /** The number in the routes' traffic of the peer that sent the packet checked last. */
  private sender = 0;

  /** `clock` returns monotonic milliseconds; it limits the rate of ICMP errors. */
  constructor(
    arena: Arena,
    checksum: Checksum,
    counters: CounterRow,
    options: UdpTunnelOptions,
    clock: { now(): number } = performance,
  ) {
    this.view = arena.view;
    this.counters = counters;
    this.peerCheck = options.peerCheck;
    this.errors = new IcmpErrors(arena, checksum, options.address, clock);
  }

  handle(request: TunnelRequest): TunnelAnswer | undefined {
    switch (request.type) {
      case 'routes':
        applyChanges(this.routes, request);
        return {};
      case 'own-address':
        this.errors.source = request.address;
        return {};
      case 'peers':
        return { peers: this.peers.traffic.share(), refused: this.refused.read() };
      default:
        return undefined;
    }
  }

  get peers(): AddressTable {
    return this.routes.table;
  }

  encapsulate(batch: PacketBatch, replies: PacketBatch): void {
    const { view } = this;
    const { table } = this.routes;
    let kept = 0;
    for (let i = 0; i < batch.count; i++) {
      const packet = batch.offset[i];
      const length = batch.length[i];
      let reason = this.refuseHeader(packet, length, TX);
      let address = 0;
      if (reason === ACCEPTED) {
        address = this.routes.lookup(ipv4Destination(view, packet));
        if (address === 0) reason = this.unreachable(packet, length, replies);
        else if (ipv4Ttl(view, packet) <= 1) reason = this.expired(packet, length, replies);
      }
      if (reason !== ACCEPTED) {
        this.counters[reason]++;
        if (this.recorder.on) this.recorder.dropFrame(packet, length, reason, address);
        continue;
      }
      if (batch.gsoSize[i] > 0) {
        batch.locate(i, 0, 0);
        if (!isSegmentable(batch.headers[i])) {
          this.counters[COUNTER.tx_drop_unsegmentable]++;
          if (this.recorder.on)
            this.recorder.dropFrame(packet, length, COUNTER.tx_drop_unsegmentable, address);
          table.traffic.noteDrop(table.found, COUNTER.tx_drop_unsegmentable);
          continue;
        }
      }
      // All segments of a superpacket get the TTL of its header.
      decrementIpv4Ttl(view, packet);
      batch.move(i, kept);
      batch.address[kept] = address;
      batch.tos[kept] = encapsulateEcn(view, packet);
      table.traffic.countTx(table.found, batch.segments(kept), batch.wireBytes(kept, length));
      kept++;
    }
    batch.count = kept;
  }

  decapsulate(batch: PacketBatch, replies: PacketBatch): void {
    const { view } = this;
    let kept = 0;
    for (let i = 0; i < batch.count; i++) {
      const packet = batch.offset[i];
      const length = batch.length[i];
      let reason = this.refuseHeader(packet, length, RX);
      if (reason === ACCEPTED) reason = this.refuseSource(ipv4Source(view, packet), batch.address[i]);
      if (reason === ACCEPTED && ipv4Ttl(view, packet) <= 1)
        reason = this.expiredHere(packet, length, replies);
      if (reason === ACCEPTED) reason = this.refuseEcn(packet, batch.tos[i] & ECN_MASK);
      if (reason !== ACCEPTED) {
        this.counters[reason]++;
        if (this.recorder.on)
          this.recorder.dropDatagram(packet, length, reason, batch.address[i], batch.tos[i]);
        this.peers.noteDrop(batch.address[i], reason);
        continue;
      }
      decrementIpv4Ttl(view, packet);
      batch.move(i, kept);
      this.routes.table.traffic.countRx(this.sender, 1, length);
      kept++;
    }
    batch.count = kept;
  }

  /** Returns ACCEPTED for exactly one complete IPv4 packet, otherwise the counter it is dropped under. */
  private refuseHeader(packet: number, length: number, counters: typeof TX): number {
    const { view } = this;
    if (length < IPV4_MIN_LENGTH) return counters.runt;
    if (ipv4Version(view, packet) !== 4) return counters.notIpv4;
    const header = ipv4HeaderLength(view, packet);
    const exact = ipv4TotalLength(view, packet) === length && header >= IPV4_MIN_LENGTH && header <= length;
    return exact ? ACCEPTED : counters.badLength;
  }

  private unreachable(packet: number, length: number, replies: PacketBatch): number {
    const destination = ipv4Destination(this.view, packet);
    if (destination >>> 28 === 0xe || destination === -1) return COUNTER.tx_drop_multicast;
    if (this.errors.append(replies, ICMP_UNREACHABLE, ICMP_NET_UNREACHABLE, packet, length))
      this.counters[COUNTER.tx_icmp_sent]++;
    return COUNTER.tx_drop_no_route;
  }

  private expired(packet: number, length: number, replies: PacketBatch): number {
    if (this.errors.append(replies, ICMP_TIME_EXCEEDED, ICMP_TTL_EXCEEDED, packet, length))
      this.counters[COUNTER.tx_icmp_sent]++;
    return COUNTER.tx_drop_ttl;
  }

  /** Answers a peer's expired packet with an ICMP error through the tunnel, if a route leads to its source. */
  private expiredHere(packet: number, length: number, replies: PacketBatch): number {
    const address = this.routes.lookup(ipv4Source(this.view, packet));
    if (address !== 0 && this.errors.append(replies, ICMP_TIME_EXCEEDED, ICMP_TTL_EXCEEDED, packet, length)) {
      replies.address[replies.count - 1] = address;
      this.counters[COUNTER.rx_icmp_sent]++;
    }
    return COUNTER.rx_drop_ttl;
  }

  /**
   * Applies the peer check and sets `sender`: returns the counter that a packet is dropped under, or ACCEPTED.
   */
  private refuseSource(inner: number, outer: number): number {
    // The device accepts packets from its own address (accept_local), because this node's ICMP errors have it.
    if (inner === this.errors.source) return COUNTER.rx_drop_wrong_source;
    const { table } = this.routes;
    if (this.peerCheck === 'off') {
      this.sender = table.numberOf(outer);
      return ACCEPTED;
    }
    const leased = this.routes.lookup(inner);
    this.sender = table.found;
    if (leased !== 0 && (leased === outer || this.peerCheck === 'mac')) return ACCEPTED;
    if (leased !== 0) this.refused.note(outer, leased);
    if (this.peerCheck === 'mac' || this.routes.hasPeer(outer)) return COUNTER.rx_drop_wrong_source;
    // The peer whose subnet it is: it is behind NAT, for example.
    if (leased !== 0) table.noteDrop(leased, COUNTER.rx_drop_unknown_vtep);
    return COUNTER.rx_drop_unknown_vtep;
  }

  private refuseEcn(packet: number, outer: number): number {
    return outer === NOT_ECT || decapsulateEcn(this.view, packet, outer) ? ACCEPTED : COUNTER.rx_drop_ecn;
  }
}
