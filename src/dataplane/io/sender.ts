/** Sending messages through the transmit sockets, and handling those the kernel refuses. */

import { FATAL, LOWER, RETRY, SENDMMSG, UNDERLAY_GONE } from '../../sys/call-errors.js';
import { MSG_DONTWAIT, POLLFD_SIZE, POLLOUT, TIMESPEC_SIZE } from '../../sys/constants.js';
import { EAGAIN, EINTR, EINVAL, ENOBUFS } from '../../sys/errno.js';
import { type Address, ppoll, sendmmsg } from '../../sys/ffi.js';
import { Recorder } from '../capture/recorder.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import { SendTable } from './send-table.js';
import type { SockaddrCodec } from './sockaddr-codec.js';

/** How long a full send buffer may block the worker before the rest of the burst is dropped. */
const SEND_WAIT_NS = 5_000_000;
/** Interrupted calls that are repeated, until one succeeds; a call that does not block is hardly ever interrupted. */
const MAX_INTERRUPTS = 8;
/** Datagrams of a GSO run that is replayed one by one, each of two pieces. */
const REPLAYED = 64;

export interface SenderOptions {
  /** Descriptors, by the number of the transmit socket. */
  txSockets: readonly number[];
  codec: SockaddrCodec;
  /** Every peer's UDP port. */
  port: number;
  tunnelLength: number;
  /** The most datagrams of a GSO run; 1: every datagram is sent alone. */
  maxRun: number;
  /** Notes drops of their packets. */
  peers?: PeerDrops;
}

/** What the sender knows of the peers. */
export interface PeerDrops {
  /** Notes the counter under which a packet to an address was dropped. */
  noteDrop(address: number, reason: number): void;
}

export class Sender {
  static readonly FOOTPRINT = SendTable.footprint(REPLAYED, 2 * REPLAYED) + 2 * 64;

  /** Whether runs of more than one datagram may be sent; false from the first EIO on. */
  gso: boolean;
  /** The errno that ends the use of the transmit sockets; 0 so far. */
  failure = 0;
  recorder = Recorder.NONE;
  private readonly arena: Arena;
  private readonly txSockets: readonly number[];
  private readonly tunnelLength: number;
  private readonly counters: CounterRow;
  private readonly peers: PeerDrops | undefined;
  private readonly onFallback: (errno: number) => void;
  private readonly sendmmsg: typeof sendmmsg;
  private readonly single: SendTable;
  private readonly pollfd: number;
  private readonly pollAddress: Address;
  private readonly timeout: Address;

  /** `onFallback` is called at most once, when GSO turns out to be impossible. `send` is replaced by tests. */
  constructor(
    arena: Arena,
    options: SenderOptions,
    counters: CounterRow,
    onFallback: (errno: number) => void,
    send = sendmmsg,
  ) {
    this.arena = arena;
    this.txSockets = options.txSockets;
    this.tunnelLength = options.tunnelLength;
    this.gso = options.maxRun > 1;
    this.counters = counters;
    this.peers = options.peers;
    this.onFallback = onFallback;
    this.sendmmsg = send;
    this.single = new SendTable(arena, REPLAYED, 2 * REPLAYED, options.codec, options.port);
    this.pollfd = arena.reserve(POLLFD_SIZE);
    this.pollAddress = arena.address(this.pollfd);
    arena.words[(this.pollfd >> 2) + 1] = POLLOUT;
    const timeout = arena.reserve(TIMESPEC_SIZE);
    arena.words[(timeout + 8) >> 2] = SEND_WAIT_NS;
    this.timeout = arena.address(timeout);
  }

  /** Sends all messages through transmit socket `txSocket`; drops and counts what cannot be sent. */
  send(messages: SendTable, txSocket: number): void {
    const fd = this.txSockets[txSocket];
    let next = 0;
    let waited = false;
    let interrupts = 0;
    while (next < messages.count) {
      const sent = this.sendmmsg(fd, messages.message(next), messages.count - next, MSG_DONTWAIT);
      if (sent > 0) {
        this.count(messages, next, next + sent);
        if (this.recorder.on) this.recorder.datagrams(messages, next, next + sent, txSocket);
        next += sent;
      } else if (sent === -EAGAIN && !waited) {
        this.arena.words[this.pollfd >> 2] = fd;
        ppoll(this.pollAddress, 1, this.timeout);
        waited = true;
      } else if (sent === -EAGAIN) {
        if (this.recorder.on)
          this.recorder.datagrams(messages, next, messages.count, txSocket, COUNTER.tx_drop_socket_full);
        for (; next < messages.count; next++) this.drop(messages, next, COUNTER.tx_drop_socket_full);
      } else if (sent !== -EINTR || ++interrupts > MAX_INTERRUPTS) {
        // The error belongs to the first message (net/socket.c, __sys_sendmmsg); the others may still be sent.
        next += this.handleRefusal(messages, next, txSocket, -sent);
      }
    }
  }

  private count(messages: SendTable, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      this.counters[COUNTER.tx_bytes] += messages.bytes[i] - messages.datagrams[i] * this.tunnelLength;
      this.counters[COUNTER.tx_packets] += messages.datagrams[i];
      if (messages.datagrams[i] > 1) this.counters[COUNTER.tx_trains]++;
    }
  }

  /**
   * Replays a run that the kernel does not cut, datagram by datagram; drops anything else. An error that concerns the whole
   * path ends GSO runs. Returns how many messages it handled.
   */
  private handleRefusal(messages: SendTable, index: number, txSocket: number, errno: number): number {
    const { counters } = this;
    const outcome = SENDMMSG[errno];
    if (outcome === FATAL) this.failure = errno;
    const mayReplay = outcome === RETRY || outcome === LOWER;
    if (messages.datagrams[index] === 1 || !mayReplay) {
      const messagesLost = this.concernsReplay(messages, index, errno) ? messages.count : 1;
      const reason = dropReason(errno);
      for (let i = index; i < index + messagesLost; i++) this.drop(messages, i, reason);
      if (this.recorder.on) this.recorder.datagrams(messages, index, index + messagesLost, txSocket, reason);
      return messagesLost;
    }
    if (outcome === LOWER && this.gso) {
      this.gso = false;
      counters[COUNTER.offload_step_downs]++;
      this.onFallback(errno);
    }
    counters[COUNTER.tx_trains_replayed]++;
    this.replay(messages, index, txSocket);
    return 1;
  }

  private drop(messages: SendTable, index: number, reason: number): void {
    this.counters[reason] += messages.datagrams[index];
    this.peers?.noteDrop(messages.address[index], reason);
  }

  /**
   * Returns whether the first datagram of a replay shows that the others would be refused too. All have one destination;
   * EINVAL is the answer while the address of the socket is absent (net/ipv4/route.c, ip_route_output_key_hash_rcu).
   */
  private concernsReplay(messages: SendTable, index: number, errno: number): boolean {
    return messages === this.single && index === 0 && (errno === EINVAL || SENDMMSG[errno] === UNDERLAY_GONE);
  }

  private replay(messages: SendTable, index: number, txSocket: number): void {
    const { single } = this;
    const datagramSize = messages.datagramSize[index];
    const end = messages.firstPiece[index + 1];
    single.clear();
    for (let piece = messages.firstPiece[index]; piece < end; ) {
      single.begin(messages.address[index], messages.tos[index], datagramSize);
      // No piece spans two datagrams: a datagram ends where its size is reached, the last one with the run.
      for (let length = 0; length < datagramSize && piece < end; piece++) {
        single.add(messages.pieceOffset[piece], messages.pieceLength[piece]);
        length += messages.pieceLength[piece];
      }
      single.end(1);
    }
    this.send(single, txSocket);
  }
}

function dropReason(errno: number): number {
  if (SENDMMSG[errno] === UNDERLAY_GONE) return COUNTER.tx_drop_unreachable;
  if (errno === ENOBUFS) return COUNTER.tx_drop_socket_full;
  return COUNTER.tx_drop_send_error;
}
