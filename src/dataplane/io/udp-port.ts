/**
 * The underlay port: UDP sockets, many packets a system call.
 *
 * At offload level `none` every packet is a datagram of its own. At level `gso` the kernel cuts GSO runs on the way out
 * (UDP_SEGMENT, gso-planner.ts). It joins datagrams to GRO runs on the way in (UDP_GRO, gro-splitter.ts), for which
 * control has set a socket option.
 */

import { FATAL, RECVMMSG, RETRY } from '../../sys/call-errors.js';
import { MSG_DONTWAIT, TIMESPEC_SIZE } from '../../sys/constants.js';
import { type Address, ppoll, recvmmsg, sendmmsg } from '../../sys/ffi.js';
import { Recorder } from '../capture/recorder.js';
import type { Checksum } from '../checksum/checksum.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import type { PacketBatch } from '../memory/batch.js';
import { GroSplitter, type GroSplitterOptions } from './gro-splitter.js';
import { GsoPlanner } from './gso-planner.js';
import { DRAINED, MORE, type Port } from './port.js';
import { ReceiveTable } from './receive-table.js';
import { Sender, type SenderOptions } from './sender.js';

/** Most bytes of a message: a GRO run, or a superpacket of a kernel peer, may fill what UDP allows. */
const MAX_MESSAGE_BYTES = 65536;
/** Pause after an error of the network or of memory, which may last: poll would report the socket at once. */
const ERROR_PAUSE_NS = 1_000_000;

export interface UdpPortOptions extends SenderOptions, GroSplitterOptions {
  /** The socket that receives, bound to the port that peers send to. */
  fd: number;
  /** Messages that a receive call may bring. */
  receiveMessages: number;
  /** The largest batch that will be sent. */
  maxBatch: number;
}

export class UdpPort implements Port {
  private recorder = Recorder.NONE;
  private readonly fd: number;
  private readonly counters: CounterRow;
  private readonly table: ReceiveTable;
  private readonly splitter: GroSplitter;
  private readonly sender: Sender;
  private readonly planner: GsoPlanner;
  private readonly txSockets: number;
  /** Per packet of the batch: the transmit socket of its flow. */
  private readonly txSocketOf: Uint8Array;
  /** Messages that the last receive call brought. */
  private received: number;
  private readonly recvmmsg: typeof recvmmsg;
  private readonly errorPause: Address;

  /**
   * `onFallback` is called at most once, when sending GSO runs turns out to be impossible. `receive` and
   * `send` are replaced by tests.
   */
  constructor(
    arena: Arena,
    options: UdpPortOptions,
    checksum: Checksum,
    counters: CounterRow,
    onFallback: (errno: number) => void,
    receive = recvmmsg,
    send = sendmmsg,
  ) {
    this.fd = options.fd;
    this.counters = counters;
    this.table = new ReceiveTable(arena, options.receiveMessages, MAX_MESSAGE_BYTES, options.codec);
    this.splitter = new GroSplitter(this.table, options, counters);
    this.sender = new Sender(arena, options, counters, onFallback, send);
    this.planner = new GsoPlanner(arena, checksum, this.sender, options, counters);
    this.txSockets = options.txSockets.length;
    this.txSocketOf = new Uint8Array(options.maxBatch);
    this.received = options.receiveMessages;
    this.recvmmsg = receive;
    const pause = arena.reserve(TIMESPEC_SIZE);
    arena.words[(pause + 8) >> 2] = ERROR_PAUSE_NS;
    this.errorPause = arena.address(pause);
  }

  /** Returns the bytes of arena that a port needs. */
  static footprint(receiveMessages: number): number {
    return (
      ReceiveTable.footprint(receiveMessages, MAX_MESSAGE_BYTES) +
      GsoPlanner.FOOTPRINT +
      Sender.FOOTPRINT +
      64
    );
  }

  record(recorder: Recorder): void {
    this.recorder = recorder;
    this.sender.recorder = recorder;
    this.planner.recorder = recorder;
    this.splitter.recorder = recorder;
  }

  /** Returns the source port of the datagram at an arena offset of the batch that was received last. */
  sourcePort(offset: number): number {
    return this.table.sourcePort(offset);
  }

  receive(batch: PacketBatch): number {
    const { table } = this;
    // `send` has no result: a transmit socket that failed ends the port here.
    if (this.sender.failure !== 0) return this.failed(batch, this.sender.failure);
    table.prepare(this.received);
    const received = this.recvmmsg(this.fd, table.messages, table.capacity, MSG_DONTWAIT);
    this.received = Math.max(received, 0);
    batch.clear();
    if (received < 0) return this.resultOf(-received);
    for (let i = 0; i < received; i++) {
      if (table.isTruncated(i)) this.dropTruncated(i);
      else this.splitter.split(batch, i);
    }
    return received === table.capacity ? MORE : DRAINED;
  }

  private dropTruncated(message: number): void {
    const { table, recorder } = this;
    this.counters[COUNTER.rx_drop_truncated]++;
    if (!recorder.on) return;
    const [start, length] = [table.buffer(message), table.length(message)];
    recorder.dropDatagram(start, length, COUNTER.rx_drop_truncated, table.source(message), 0);
  }

  private failed(batch: PacketBatch, errno: number): number {
    batch.clear();
    return -errno;
  }

  /** Returns the result for an errno of recvmmsg. */
  private resultOf(errno: number): number {
    const outcome = RECVMMSG[errno];
    if (outcome === RETRY) return DRAINED;
    if (outcome === FATAL) return -errno;
    this.counters[COUNTER.rx_receive_errors]++;
    ppoll(0n, 0, this.errorPause);
    return DRAINED;
  }

  /**
   * Spreads the flows over the transmit sockets. A flow keeps its socket, and with it its source port and its order.
   */
  send(batch: PacketBatch): void {
    const { txSocketOf, txSockets } = this;
    let used = 0;
    for (let i = 0; i < batch.count; i++) {
      const txSocket = (batch.flow[i] >>> 8) % txSockets;
      txSocketOf[i] = txSocket;
      used |= 1 << txSocket;
    }
    for (let txSocket = 0; used !== 0; txSocket++, used >>>= 1) {
      if ((used & 1) !== 0) this.sendThrough(txSocket, batch);
    }
  }

  private sendThrough(txSocket: number, batch: PacketBatch): void {
    const { planner, txSocketOf } = this;
    planner.txSocket = txSocket;
    for (let i = 0; i < batch.count; i++) {
      if (txSocketOf[i] === txSocket) planner.add(batch, i);
    }
    planner.flush();
  }
}
