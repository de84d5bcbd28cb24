/** Sending trains through a pool of sockets, and what happens when the kernel refuses one. */

import { MSG_DONTWAIT, POLLFD_SIZE, POLLOUT, TIMESPEC_SIZE } from '../../sys/constants.js';
import { EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, ENOBUFS, isUnreachable } from '../../sys/errno.js';
import { type Address, ppoll, sendmmsg } from '../../sys/ffi.js';
import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import { Trains } from './send-table.js';
import type { Names } from './sockaddr-codec.js';

/** How long a full send buffer may hold the worker up before the rest of the burst is dropped. */
const SEND_WAIT_NS = 5_000_000;
/** Datagrams of a train that is replayed one by one, each of two iovecs. */
const REPLAYED = 64;

export class Sender {
  static readonly FOOTPRINT = Trains.footprint(REPLAYED, 2 * REPLAYED) + 2 * 64;

  /** Whether trains of more than one datagram may be sent. */
  trains: boolean;
  private readonly arena: Arena;
  private readonly fds: readonly number[];
  private readonly tunnelLength: number;
  private readonly counters: CounterRow;
  private readonly onStepDown: (errno: number) => void;
  private readonly single: Trains;
  private readonly pollfd: number;
  private readonly pollAddress: Address;
  private readonly patience: Address;

  constructor(
    arena: Arena,
    options: {
      senders: readonly number[];
      names: Names;
      port: number;
      tunnelLength: number;
      trains: boolean;
    },
    counters: CounterRow,
    onStepDown: (errno: number) => void,
  ) {
    this.arena = arena;
    this.fds = options.senders;
    this.tunnelLength = options.tunnelLength;
    this.trains = options.trains;
    this.counters = counters;
    this.onStepDown = onStepDown;
    this.single = new Trains(arena, REPLAYED, 2 * REPLAYED, options.names, options.port);
    this.pollfd = arena.reserve(POLLFD_SIZE);
    this.pollAddress = arena.address(this.pollfd);
    arena.words[(this.pollfd >> 2) + 1] = POLLOUT;
    const patience = arena.reserve(TIMESPEC_SIZE);
    arena.words[(patience + 8) >> 2] = SEND_WAIT_NS;
    this.patience = arena.address(patience);
  }

  /** Sends all trains through socket `lane`; what cannot be sent is counted and dropped. */
  send(trains: Trains, lane: number): void {
    const fd = this.fds[lane];
    let next = 0;
    let waited = false;
    while (next < trains.count) {
      const sent = sendmmsg(fd, trains.message(next), trains.count - next, MSG_DONTWAIT);
      if (sent > 0) {
        this.count(trains, next, next + sent);
        next += sent;
      } else if (sent === -EAGAIN && !waited) {
        this.arena.words[this.pollfd >> 2] = fd;
        ppoll(this.pollAddress, 1, this.patience);
        waited = true;
      } else if (sent === -EAGAIN) {
        for (; next < trains.count; next++)
          this.counters[COUNTER.tx_drop_socket_full] += trains.datagrams[next];
      } else if (sent !== -EINTR) {
        // An error with nothing sent is the first message's (net/socket.c, __sys_sendmmsg); the others still have
        // their chance.
        this.refused(trains, next, lane, -sent);
        next++;
      }
    }
  }

  private count(trains: Trains, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      this.counters[COUNTER.tx_bytes] += trains.bytes[i] - trains.datagrams[i] * this.tunnelLength;
      this.counters[COUNTER.tx_packets] += trains.datagrams[i];
      if (trains.datagrams[i] > 1) this.counters[COUNTER.tx_trains]++;
    }
  }

  /**
   * A train the kernel will not cut goes again, datagram by datagram: EINVAL and EMSGSIZE are this train's (its
   * datagrams are larger than the route's MTU), EIO is the path's (no checksum offload before 6.11, or IPsec:
   * net/ipv4/udp.c, udp_send_skb), so it is the end of trains.
   */
  private refused(trains: Trains, index: number, lane: number, errno: number): void {
    const { counters } = this;
    const mayReplay = errno === EIO || errno === EINVAL || errno === EMSGSIZE;
    if (trains.datagrams[index] === 1 || !mayReplay) {
      counters[this.dropReason(errno)] += trains.datagrams[index];
      return;
    }
    if (errno === EIO && this.trains) {
      this.trains = false;
      counters[COUNTER.offload_step_downs]++;
      this.onStepDown(errno);
    }
    counters[COUNTER.tx_trains_replayed]++;
    this.replay(trains, index, lane);
  }

  private replay(trains: Trains, index: number, lane: number): void {
    const { single } = this;
    const size = trains.size[index];
    const end = trains.firstPiece[index + 1];
    single.clear();
    for (let piece = trains.firstPiece[index]; piece < end; ) {
      single.begin(trains.address[index], trains.tos[index], size);
      // Pieces never span datagrams: a datagram ends where its size is reached, the last with the train.
      for (let length = 0; length < size && piece < end; piece++) {
        single.push(trains.pieceOffset[piece], trains.pieceLength[piece]);
        length += trains.pieceLength[piece];
      }
      single.end(1);
    }
    this.send(single, lane);
  }

  private dropReason(errno: number): number {
    if (isUnreachable(errno)) return COUNTER.tx_drop_unreachable;
    if (errno === ENOBUFS) return COUNTER.tx_drop_socket_full;
    return COUNTER.tx_drop_send_error;
  }
}
