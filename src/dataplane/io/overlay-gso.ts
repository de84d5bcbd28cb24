/**
 * The overlay port at offload level `gso`: a TAP or TUN queue with a virtio-net header, whose packets may be
 * superpackets.
 */

import { LOWER, RETRY, WRITEV } from '../../sys/call-errors.js';
import { type Address, read, writev } from '../../sys/ffi.js';
import { Recorder } from '../capture/recorder.js';
import type { Checksum } from '../checksum/checksum.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import { CHECKSUM_PARTIAL, type PacketBatch } from '../memory/batch.js';
import { Coalescer } from '../offload/coalesce.js';
import { PartialChecksum } from '../offload/partial-checksum.js';
import { MAX_HEADERS, MIN_TCP_SEGMENT } from '../offload/segment.js';
import { flowHash } from '../tunnel/flow-hash.js';
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
import { Backlog, MAX_SHARE } from './backlog.js';
import { DeviceReader } from './device-reader.js';
import { DeviceWriter } from './device-writer.js';
import type { OverlayPortOptions } from './overlay.js';
import { DRAINED, MORE, type Port } from './port.js';
import { SegmentWriter } from './segment-writer.js';

/** A burst of superpackets ends here, so that it is still in the cache when it is sent. */
const BURST_BYTES = 512 * 1024;
/** It also ends at this many datagrams: 512 KB in full segments are 370. */
const BURST_DATAGRAMS = 512;
/** One piece for each packet of an entry (see Coalescer). */
const MAX_PIECES = 64;
/**
 * Refused superpackets of TCP or of UDP, less those accepted since, at which the port stops making these. Some stable
 * kernels refuse only superpackets of some lengths; as long as most are accepted, they pay.
 */
const MAX_REFUSALS = 64;

export interface OverlayGsoPortOptions extends OverlayPortOptions {
  /** The largest batch that will be sent. */
  maxBatch: number;
  /** Whether the device accepts UDP superpackets. */
  uso: boolean;
  /** Whether superpackets are written at first. */
  superpackets: boolean;
}

export class OverlayGsoPort implements Port {
  /** Whether superpackets are written; false once the kernel has refused too many of TCP. */
  superpackets: boolean;
  private recorder = Recorder.NONE;
  private readonly view: DataView;
  private readonly reader: DeviceReader;
  private readonly checksum: Checksum;
  private readonly counters: CounterRow;
  private readonly coalescer: Coalescer;
  private readonly partialChecksum: PartialChecksum;
  /** Whether UDP superpackets are written; false once the kernel has refused too many. */
  private uso: boolean;
  private readonly linkLength: number;
  private readonly onFallback: (errno: number) => void;
  private tcpRefusals = 0;
  private udpRefusals = 0;
  private readonly writer: DeviceWriter;
  private readonly segmentWriter: SegmentWriter;
  private readonly backlog: Backlog;
  /**
   * The memory that frame i is read into: slot i at first, but the backlog exchanges it. The address is less room for the
   * virtio-net header.
   */
  private readonly frames: Int32Array;
  private readonly addresses: Address[];
  /** Datagrams that the batch has so far. */
  private datagrams = 0;

  /**
   * `outbound`: the batch that will be received into. `onFallback` is called at most once, when the port stops writing
   * superpackets because the kernel refuses them. `write` and `readCall` are replaced by tests.
   */
  constructor(
    arena: Arena,
    options: OverlayGsoPortOptions,
    checksum: Checksum,
    counters: CounterRow,
    outbound: PacketBatch,
    onFallback: (errno: number) => void,
    write = writev,
    readCall = read,
  ) {
    const { fd, podMtu, maxBatch, uso, linkLength } = options;
    this.superpackets = options.superpackets;
    this.onFallback = onFallback;
    this.linkLength = linkLength;
    this.view = arena.view;
    this.reader = new DeviceReader(arena, fd, counters, readCall);
    this.checksum = checksum;
    this.counters = counters;
    this.partialChecksum = new PartialChecksum(arena, checksum, counters, podMtu + linkLength);
    const coalescing = { maxBatch, udp: uso, linkLength };
    this.coalescer = new Coalescer(arena, checksum, this.partialChecksum, coalescing);
    this.uso = uso;
    this.writer = new DeviceWriter(arena, fd, counters, MAX_PIECES, VNET_LENGTH, write);
    this.segmentWriter = new SegmentWriter(arena, checksum, this.writer, counters);
    this.backlog = new Backlog(arena, outbound.slotSize, VNET_LENGTH);
    this.frames = Int32Array.from({ length: outbound.capacity }, (_, index) => outbound.slot(index));
    this.addresses = outbound.slotAddresses(VNET_LENGTH);
  }

  /** Returns the bytes of arena that a port needs for packets. */
  static footprint(slotSize: number): number {
    return Backlog.footprint(slotSize);
  }

  record(recorder: Recorder): void {
    this.recorder = recorder;
    this.writer.recorder = recorder;
    this.segmentWriter.recorder = recorder;
  }

  receive(batch: PacketBatch): number {
    const { backlog } = this;
    batch.clear();
    this.datagrams = 0;
    // `send` has no result: a failure of the device while writing ends the port here.
    if (this.writer.failure !== 0) return -this.writer.failure;
    const result = this.fill(batch);
    backlog.release(batch);
    if (backlog.count > 0) return MORE;
    return result === DRAINED || result === MORE || batch.count === 0 ? result : DRAINED;
  }

  /** Reads frames until the queue is empty or the burst ends. One place of the batch is the backlog's. */
  private fill(batch: PacketBatch): number {
    const { backlog, reader } = this;
    let bytes = 0;
    while (bytes < BURST_BYTES && this.datagrams < BURST_DATAGRAMS) {
      if (batch.count + (backlog.count > 0 ? 1 : 0) === batch.capacity) return MORE;
      // The virtio-net header lands in the headroom, where the tunnel header will be.
      const result = reader.read(this.addresses[batch.count], batch.slotSize);
      if (result < 0) return reader.resultOf(-result, batch.count);
      this.add(batch, this.frames[batch.count], result - VNET_LENGTH);
      bytes += result;
    }
    return MORE;
  }

  private add(batch: PacketBatch, frame: number, length: number): void {
    const { view } = this;
    const header = frame - VNET_LENGTH;
    const gsoType = vnetGsoType(view, header);
    const gsoSize = gsoType === VNET_GSO_NONE ? 0 : vnetGsoSize(view, header);
    if (gsoType !== VNET_GSO_NONE && gsoSize < (gsoType === VNET_GSO_UDP_L4 ? 1 : MIN_TCP_SEGMENT)) {
      this.counters[COUNTER.tx_drop_unsegmentable]++;
      if (this.recorder.on) this.recorder.dropFrame(frame, length, COUNTER.tx_drop_unsegmentable);
      return;
    }
    const index = batch.count;
    batch.set(index, frame, length);
    if (gsoSize > 0) {
      batch.gsoSize[index] = gsoSize;
      batch.checksum[index] = CHECKSUM_PARTIAL;
    } else if ((vnetFlags(view, header) & VNET_NEEDS_CSUM) !== 0) {
      this.completeChecksum(frame, length, vnetChecksumStart(view, header), vnetChecksumOffset(view, header));
    }
    // With the headers this is too high, by little.
    const datagrams = gsoSize === 0 ? 1 : Math.ceil(length / gsoSize);
    if ((datagrams > MAX_SHARE || this.backlog.count > 0) && !this.mayPass(batch, index)) return;
    batch.count++;
    this.datagrams += datagrams;
  }

  /** Returns whether packet `index` leaves in this round; puts it into the backlog or drops it otherwise. */
  private mayPass(batch: PacketBatch, index: number): boolean {
    const { backlog } = this;
    const headers = batch.headers[index];
    const located = batch.locate(index, 0, this.linkLength);
    const flow = flowHash(this.view, batch.offset[index], headers);
    const isMany = batch.gsoSize[index] > 0 && !(located && batch.segments(index) <= MAX_SHARE);
    if (!isMany && !backlog.holds(flow)) return true;
    if (isMany && !(located && headers.protocol === IPPROTO_TCP && headers.headersLength <= MAX_HEADERS)) {
      this.drop(batch, index, COUNTER.tx_drop_unsegmentable);
    } else if (!backlog.add(batch, index, flow, this.frames, this.addresses)) {
      this.drop(batch, index, COUNTER.tx_drop_backlog_full);
    }
    return false;
  }

  private drop(batch: PacketBatch, index: number, reason: number): void {
    this.counters[reason]++;
    if (this.recorder.on) this.recorder.dropFrame(batch.offset[index], batch.length[index], reason);
  }

  /**
   * Writes the checksum from `start` to the end; its field holds the pseudo-header's sum (include/linux/virtio_net.h).
   * The offset is taken from the virtio-net header as is: it may be the checksum of a tunnel inside the pod.
   */
  private completeChecksum(frame: number, length: number, start: number, offset: number): void {
    if (start + offset + 2 > length) return;
    const field = this.checksum.compute(frame + start, length - start);
    this.view.setUint16(frame + start + offset, field === 0 ? 0xffff : field);
  }

  send(batch: PacketBatch): void {
    const { coalescer } = this;
    if (!this.superpackets) {
      this.sendSingly(batch);
      return;
    }
    coalescer.coalesce(batch);
    for (let entry = 0; entry < coalescer.count; entry++) {
      const head = coalescer.head[entry];
      if (batch.gsoSize[head] === 0) this.writeSingle(batch, head);
      else if (this.acceptsSuperpacket(batch, head)) this.writeSuperpacket(batch, entry);
      else this.replay(batch, entry);
    }
  }

  private sendSingly(batch: PacketBatch): void {
    for (let i = 0; i < batch.count; i++) {
      if (batch.locate(i, 0, this.linkLength)) this.partialChecksum.detect(batch, i);
      if (batch.gsoSize[i] > 0) this.writeSegments(batch, i);
      else this.writeSingle(batch, i);
    }
  }

  private writeSingle(batch: PacketBatch, index: number): void {
    this.writeVnetHeader(batch, index);
    this.writer.add(batch.offset[index], batch.length[index]);
    this.writer.write();
  }

  private writeSegments(batch: PacketBatch, index: number): void {
    writeVnetPlain(this.view, this.writer.header);
    this.segmentWriter.write(batch, index);
  }

  /** Writes an entry as one superpacket, or packet by packet if the kernel refuses it. */
  private writeSuperpacket(batch: PacketBatch, entry: number): void {
    const { coalescer, counters, writer } = this;
    const head = coalescer.head[entry];
    const joined = coalescer.segments[entry];
    // It is made of single packets, or it arrived as a superpacket.
    const packets = joined > 1 ? joined : batch.segments(head);
    const more =
      joined > 1
        ? (joined - 1) * batch.headers[head].headersLength
        : batch.wireBytes(head, batch.length[head]) - batch.length[head];
    const isTcp = batch.headers[head].protocol === IPPROTO_TCP;
    this.writeVnetHeader(batch, head);
    this.addPieces(batch, entry);
    const errno = writer.tryWrite(packets, more);
    if (errno === 0) {
      if (joined > 1) counters[COUNTER.rx_coalesced] += joined;
      if (isTcp && this.tcpRefusals > 0) this.tcpRefusals--;
      if (!isTcp && this.udpRefusals > 0) this.udpRefusals--;
    } else if (WRITEV[errno] !== RETRY && WRITEV[errno] !== LOWER) {
      // The device refuses every other packet too: it is full, down or gone.
      writer.drop(packets, errno);
    } else {
      counters[COUNTER.rx_superpackets_replayed]++;
      this.replay(batch, entry);
      if (WRITEV[errno] === RETRY) return;
      if (isTcp) this.countTcpRefusal(errno);
      else this.countUdpRefusal();
    }
  }

  /** Writes the packets of an entry one by one; those behind the first have kept their headers. */
  private replay(batch: PacketBatch, entry: number): void {
    const { coalescer } = this;
    const head = coalescer.head[entry];
    coalescer.separate(batch, entry);
    this.writeSegments(batch, head);
    for (let packet = coalescer.next[head]; packet >= 0; packet = coalescer.next[packet]) {
      // The coalescer may have joined the packet without parsing it.
      batch.locate(packet, 0, this.linkLength);
      this.writeSingle(batch, packet);
    }
  }

  /** Ends UDP superpackets alone: TCP, which needs superpackets most, keeps its own. */
  private countUdpRefusal(): void {
    if (++this.udpRefusals < MAX_REFUSALS) return;
    this.uso = false;
    this.coalescer.udp = false;
  }

  private countTcpRefusal(errno: number): void {
    this.tcpRefusals++;
    if (!this.superpackets || this.tcpRefusals < MAX_REFUSALS) return;
    this.superpackets = false;
    this.counters[COUNTER.offload_step_downs]++;
    this.onFallback(errno);
  }

  /** Returns false for UDP without USO: before 6.2 the tun driver does not know UDP superpackets. */
  private acceptsSuperpacket(batch: PacketBatch, index: number): boolean {
    return this.uso || batch.headers[index].protocol === IPPROTO_TCP;
  }

  /** Adds the first packet of an entry, then the payload of the others. */
  private addPieces(batch: PacketBatch, entry: number): void {
    const { coalescer, writer } = this;
    const head = coalescer.head[entry];
    writer.add(batch.offset[head], batch.length[head]);
    if (coalescer.segments[entry] === 1) return;
    const { headersLength } = batch.headers[head];
    for (let packet = coalescer.next[head]; packet >= 0; packet = coalescer.next[packet]) {
      writer.add(batch.offset[packet] + headersLength, batch.length[packet] - headersLength);
    }
  }

  /** Writes the virtio-net header of the packet or superpacket that starts with packet `index`. */
  private writeVnetHeader(batch: PacketBatch, index: number): void {
    const { view } = this;
    const { header } = this.writer;
    if (batch.checksum[index] !== CHECKSUM_PARTIAL) {
      writeVnetPlain(view, header);
      return;
    }
    const { isIpv6, protocol, transport, checksumField, headersLength } = batch.headers[index];
    const gsoSize = batch.gsoSize[index];
    if (gsoSize === 0) {
      writeVnetChecksum(view, header, transport, checksumField - transport);
    } else {
      const tcp = isIpv6 ? VNET_GSO_TCPV6 : VNET_GSO_TCPV4;
      const type = protocol === IPPROTO_TCP ? tcp : VNET_GSO_UDP_L4;
      writeVnetGso(view, header, type, headersLength, gsoSize, transport, checksumField - transport);
    }
  }
}
