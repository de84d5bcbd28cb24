/** The environment of a dataplane module under test: an arena, counters, a batch of frames. */

import { Checksum } from '../../src/dataplane/checksum/checksum.js';
import { COUNTER_NAMES, type CounterName } from '../../src/dataplane/counters.js';
import { OverlayGsoPort } from '../../src/dataplane/io/overlay-gso.js';
import { Arena } from '../../src/dataplane/memory/arena.js';
import { PacketBatch } from '../../src/dataplane/memory/batch.js';
import { LARGEST_ERROR } from '../../src/dataplane/tunnel/icmp-error.js';
import type { UdpTunnelOptions, VxlanOptions } from '../../src/dataplane/tunnel/options.js';
import { UdpTunnel } from '../../src/dataplane/tunnel/udp.js';
import { VxlanTunnel } from '../../src/dataplane/tunnel/vxlan.js';
import { ETHERNET_LENGTH } from '../../src/dataplane/wire/ethernet.js';
import { ipv4, mac } from './bytes.js';

/** Bytes for the tables of a module under test. */
const SMALL_STRUCTURES = 65536;

export class Kit {
  readonly arena: Arena;
  readonly checksum: Checksum;
  readonly counters = new Float64Array(COUNTER_NAMES.length);
  readonly batch: PacketBatch;

  /** `more`: bytes of arena beyond the batch and small tables. */
  constructor(capacity = 64, slotSize = 2048, more = 0) {
    this.arena = new Arena(
      PacketBatch.footprint(capacity, slotSize) +
        OverlayGsoPort.footprint(slotSize) +
        SMALL_STRUCTURES +
        more,
    );
    this.checksum = new Checksum(this.arena);
    this.batch = new PacketBatch(this.arena, capacity, slotSize);
  }

  /** Fills the batch with these packets alone; `address` is the other VTEP's. */
  fill(packets: readonly Uint8Array[], address = 0): void {
    this.batch.clear();
    for (const packet of packets) this.add(packet, address);
  }

  add(packet: Uint8Array, address = 0): void {
    const { batch } = this;
    const slot = batch.slot(batch.count);
    this.arena.bytes.set(packet, slot);
    batch.set(batch.count, slot, packet.length);
    batch.address[batch.count] = address;
    batch.count++;
  }

  /** Locates the headers of packet `index`; returns false unless it is whole TCP or UDP. */
  locate(index: number): boolean {
    return this.batch.locate(index, 0, ETHERNET_LENGTH);
  }

  /** Returns a copy of packet `index`. */
  packet(index: number): Uint8Array {
    return this.arena.bytes.slice(
      this.batch.offset[index],
      this.batch.offset[index] + this.batch.length[index],
    );
  }

  packets(): Uint8Array[] {
    return this.packetsOf(this.batch);
  }

  /** Returns copies of the packets of another batch in the same arena. */
  packetsOf({ count, offset, length }: PacketBatch): Uint8Array[] {
    return Array.from({ length: count }, (_, index) =>
      this.arena.bytes.slice(offset[index], offset[index] + length[index]),
    );
  }

  /** Returns every counter that is not zero. */
  counted(): Partial<Record<CounterName, number>> {
    return Object.fromEntries(
      COUNTER_NAMES.map((name, index) => [name, this.counters[index]]).filter(([, value]) => value !== 0),
    );
  }

  tunnel(options: Partial<VxlanOptions & { podMtu: number }> = {}): VxlanTunnel {
    return new VxlanTunnel(this.arena, this.counters, {
      vni: 1,
      peerCheck: 'strict',
      learning: false,
      podMtu: 1450,
      ...options,
    });
  }

  /** Returns a udp tunnel whose device has the address 10.244.1.0, and a batch for its ICMP replies. */
  udpTunnel(
    options: Partial<UdpTunnelOptions> = {},
    { clock, replies = 8 }: { clock?: { now(): number }; replies?: number } = {},
  ): { tunnel: UdpTunnel; replies: PacketBatch } {
    const whole: UdpTunnelOptions = { address: ipv4('10.244.1.0'), peerCheck: 'strict', ...options };
    return {
      tunnel: new UdpTunnel(this.arena, this.checksum, this.counters, whole, clock),
      replies: new PacketBatch(this.arena, replies, LARGEST_ERROR),
    };
  }
}

export function setFdb(tunnel: VxlanTunnel, address: string, vtep: number): void {
  const { high, low } = mac(address);
  tunnel.fdb.set(high, low, vtep);
}

export function setOwnMac(tunnel: VxlanTunnel, address: string): void {
  tunnel.handle({ type: 'own-mac', ...mac(address) });
}
