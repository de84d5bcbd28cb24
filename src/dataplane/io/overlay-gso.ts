/**
 * The overlay port on rung `gso`: a TAP or TUN queue with a virtio-net header, whose packets may be
 * superpackets.
 */

import { EAGAIN, EINTR } from '../../sys/errno.js';
import { type Address, read } from '../../sys/ffi.js';
import type { Checksum } from '../checksum/checksum.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import { CHECKSUM_PARTIAL, type PacketBatch } from '../memory/batch.js';
import { Coalescer } from '../offload/coalesce.js';
import { PartialChecksum } from '../offload/partial-checksum.js';
import { MAX_HEADERS, Segmenter } from '../offload/segment.js';
import { Layer4 } from '../wire/inner-headers.js';
import { IPPROTO_TCP } from '../wire/tcp.js';
import {
  VNET_GSO_NONE,
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
  VNET_GSO_UDP_L4,
  VNET_LENGTH,
  VNET_NEEDS_CSUM,
  vnetChecksumOffset,
  vnetChecksumStart,
  vnetFlags,
  vnetGsoSize,
  vnetGsoType,
  writeVnetChecksum,
  writeVnetGso,
  writeVnetPlain,
} from '../wire/virtio-net.js';
import { DeviceWriter } from './device-writer.js';
import type { OverlayOptions } from './overlay.js';
import { DRAINED, MORE, type Port } from './port.js';

/** A burst of superpackets ends here, so that what was read is still in the cache when it is sent. */
const BURST_BYTES = 512 * 1024;
/** The virtio-net header, then a piece for each packet of a train. */
const PIECES = 1 + 64;

export interface OverlayGsoOptions extends OverlayOptions {
  /** The largest batch that will be sent. */
  packets: number;
  /** Whether the device takes UDP superpackets. */
  uso: boolean;
}

export class OverlayGsoPort implements Port {
  private readonly arena: Arena;
  private readonly fd: number;
  private readonly checksum: Checksum;
  private readonly counters: CounterRow;
  private readonly coalescer: Coalescer;
  private readonly layer4: Layer4;
  private readonly uso: boolean;
  private readonly segmenter: Segmenter;
  private readonly headers: number;
  private readonly vnet: number;
  private readonly writer: DeviceWriter;
  /** Where frame i is read to: its slot, behind room for the virtio-net header. */
  private readonly slots: readonly Address[];

  /** `outbound`: the batch that will be received into. */
  constructor(
    arena: Arena,
    options: OverlayGsoOptions,
    checksum: Checksum,
    counters: CounterRow,
    outbound: PacketBatch,
  ) {
    this.arena = arena;
    this.fd = options.fd;
    this.checksum = checksum;
    this.counters = counters;
    const partialChecksum = new PartialChecksum(arena, checksum, counters, options.podMtu);
    const { packets, uso, linkLength } = options;
    this.coalescer = new Coalescer(arena, checksum, partialChecksum, { packets, udp: uso, linkLength });
    this.layer4 = new Layer4(linkLength);
    this.uso = uso;
    this.segmenter = new Segmenter(arena, checksum, linkLength);
    this.headers = arena.reserve(MAX_HEADERS);
    this.vnet = arena.reserve(VNET_LENGTH);
    this.writer = new DeviceWriter(arena, options.fd, counters, PIECES, VNET_LENGTH);
    this.slots = outbound.slotAddresses(VNET_LENGTH);
  }

  receive(batch: PacketBatch): number {
    batch.clear();
    let bytes = 0;
    while (batch.count < batch.capacity && bytes < BURST_BYTES) {
      const frame = batch.slot(batch.count);
      // The virtio-net header lands in the headroom, where the tunnel header will be.
      const result = read(this.fd, this.slots[batch.count], batch.slotSize);
      if (result < 0) {
        return result === -EAGAIN || result === -EINTR || batch.count > 0 ? DRAINED : result;
      }
      this.take(batch, frame, result - VNET_LENGTH);
      bytes += result;
    }
    return MORE;
  }

  private take(batch: PacketBatch, frame: number, length: number): void {
    const { view } = this.arena;
    const header = frame - VNET_LENGTH;
    const isSuperpacket = vnetGsoType(view, header) !== VNET_GSO_NONE;
    if (isSuperpacket && vnetGsoSize(view, header) === 0) {
      this.counters[COUNTER.tx_drop_unsegmentable]++;
      return;
    }
    const index = batch.count++;
    batch.put(index, frame, length);
    if (isSuperpacket) {
      batch.segmentSize[index] = vnetGsoSize(view, header);
      batch.checksum[index] = CHECKSUM_PARTIAL;
    } else if ((vnetFlags(view, header) & VNET_NEEDS_CSUM) !== 0) {
      this.finishChecksum(frame, length, vnetChecksumStart(view, header), vnetChecksumOffset(view, header));
    }
  }

  /**
   * The sum from `start` to the end, over a field that holds what comes before (include/linux/virtio_net.h). Where it
   * goes is the kernel's word: it may be the checksum of a tunnel inside the pod.
   */
  private finishChecksum(frame: number, length: number, start: number, offset: number): void {
    const { view } = this.arena;
    if (start + offset + 2 > length) return;
    const finished = this.checksum.finishFrom(frame + start, length - start);
    view.setUint16(frame + start + offset, finished === 0 ? 0xffff : finished);
  }

  send(batch: PacketBatch): void {
    const { coalescer, counters, writer } = this;
    coalescer.run(batch);
    for (let train = 0; train < coalescer.count; train++) {
      const head = coalescer.head[train];
      if (batch.segmentSize[head] > 0 && !this.takesSuperpacket(batch, head)) {
        this.sendDatagrams(batch, head);
        continue;
      }
      const packets = coalescer.segments[train];
      if (writer.write(this.gather(batch, train), packets) && packets > 1)
        counters[COUNTER.rx_coalesced] += packets;
    }
  }

  /** False for UDP without USO: the tun driver does not know such a superpacket before 6.2. */
  private takesSuperpacket(batch: PacketBatch, index: number): boolean {
    if (this.uso) return true;
    const { layer4 } = this;
    if (!layer4.locate(this.arena.view, batch.offset[index], 0xffff + 256)) return true;
    return layer4.protocol === IPPROTO_TCP;
  }

  /** Sends the UDP superpacket of a kernel peer (see UdpPort) as the datagrams it is made of. */
  private sendDatagrams(batch: PacketBatch, index: number): void {
    const { segmenter, headers, vnet, writer } = this;
    if (!segmenter.begin(batch.offset[index], batch.length[index], batch.segmentSize[index])) {
      this.counters[COUNTER.rx_drop_device_refused]++;
      return;
    }
    writeVnetPlain(this.arena.view, vnet);
    for (let segment = 0; segment < segmenter.count; segment++) {
      segmenter.write(segment, headers);
      writer.put(0, vnet, VNET_LENGTH);
      writer.put(1, headers, segmenter.headerLength);
      writer.put(2, segmenter.payloadOffset, segmenter.payloadLength);
      writer.write(3, 1);
    }
  }

  /** Lays out the write of one train; returns the number of iovecs. */
  private gather(batch: PacketBatch, train: number): number {
    const { coalescer, writer } = this;
    const head = coalescer.head[train];
    this.describe(batch, head);
    writer.put(0, this.vnet, VNET_LENGTH);
    writer.put(1, batch.offset[head], batch.length[head]);
    let pieces = 2;
    for (let packet = coalescer.next[head]; packet >= 0; packet = coalescer.next[packet]) {
      const headers = coalescer.headers[packet];
      writer.put(pieces++, batch.offset[packet] + headers, batch.length[packet] - headers);
    }
    return pieces;
  }

  /** Writes the virtio-net header of the packet or superpacket that starts with packet `index`. */
  private describe(batch: PacketBatch, index: number): void {
    const { view } = this.arena;
    const { layer4, vnet } = this;
    const frame = batch.offset[index];
    // The IP header of a joined train spans more than its first packet, so the frame's length is not what limits it.
    if (batch.checksum[index] !== CHECKSUM_PARTIAL || !layer4.locate(view, frame, 0xffff + 256)) {
      writeVnetPlain(view, vnet);
      return;
    }
    const start = layer4.header - frame;
    const offset = layer4.checksumField - layer4.header;
    const size = batch.segmentSize[index];
    if (size === 0) {
      writeVnetChecksum(view, vnet, start, offset);
      return;
    }
    const tcp = layer4.isIpv6 ? VNET_GSO_TCPV6 : VNET_GSO_TCPV4;
    const type = layer4.protocol === IPPROTO_TCP ? tcp : VNET_GSO_UDP_L4;
    writeVnetGso(view, vnet, type, start + layer4.headerLength, size, start, offset);
  }
}
