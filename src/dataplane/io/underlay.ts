/** The underlay port on rung `none`: a UDP socket, one datagram a packet, many packets a system call. */

import { COUNTER, type CounterRow } from '../counters.js';
import type { Arena } from '../memory/arena.js';
import type { PacketBatch } from '../memory/batch.js';
import { MessageVector } from '../memory/message-vector.js';
import { MSG_DONTWAIT, MSG_TRUNC, POLLFD_SIZE, POLLOUT } from '../sys/constants.js';
import { EAGAIN, EINTR, ENOBUFS, isUnreachable } from '../sys/errno.js';
import { poll, recvmmsg, sendmmsg } from '../sys/ffi.js';
import type { Port } from './port.js';

/** How long a full send buffer may hold the worker up before the rest of the burst is dropped. */
const SEND_WAIT_MS = 5;

export class UdpPort implements Port {
  private readonly arena: Arena;
  private readonly fd: number;
  private readonly tunnelLength: number;
  private readonly counters: CounterRow;
  private readonly outgoing: MessageVector;
  private readonly incoming: MessageVector;
  private readonly pollfd: number;

  /**
   * `port` is every VTEP's UDP port; `burst` the largest batch this port will be given; `tunnelLength` the bytes of
   * tunnel header, which `tx_bytes` leaves out.
   */
  constructor(
    arena: Arena,
    fd: number,
    port: number,
    burst: number,
    tunnelLength: number,
    counters: CounterRow,
  ) {
    this.tunnelLength = tunnelLength;
    this.arena = arena;
    this.fd = fd;
    this.counters = counters;
    this.outgoing = new MessageVector(arena, burst, port);
    this.incoming = new MessageVector(arena, burst, port);
    this.pollfd = arena.reserve(POLLFD_SIZE);
    arena.words[this.pollfd >> 2] = fd;
    arena.words[(this.pollfd >> 2) + 1] = POLLOUT;
  }

  receive(batch: PacketBatch): number {
    const { incoming } = this;
    for (let i = 0; i < batch.capacity; i++) incoming.setBuffer(i, batch.slot(i), batch.slotSize);
    const received = recvmmsg(this.fd, incoming.message(0), batch.capacity, MSG_DONTWAIT);
    batch.count = 0;
    if (received < 0) return received === -EAGAIN || received === -EINTR ? 0 : received;
    for (let i = 0; i < received; i++) {
      if ((incoming.flags(i) & MSG_TRUNC) !== 0) {
        this.counters[COUNTER.rx_drop_truncated]++;
        continue;
      }
      batch.put(batch.count, batch.slot(i), incoming.received(i));
      batch.address[batch.count] = incoming.address(i);
      batch.count++;
    }
    return received;
  }

  send(batch: PacketBatch): void {
    const { outgoing, counters } = this;
    const count = batch.count;
    for (let i = 0; i < count; i++) {
      outgoing.setBuffer(i, batch.offset[i], batch.length[i]);
      outgoing.setAddress(i, batch.address[i]);
    }
    let next = 0;
    let waited = false;
    while (next < count) {
      const sent = sendmmsg(this.fd, outgoing.message(next), count - next, MSG_DONTWAIT);
      if (sent > 0) {
        for (let i = next; i < next + sent; i++)
          counters[COUNTER.tx_bytes] += batch.length[i] - this.tunnelLength;
        counters[COUNTER.tx_packets] += sent;
        next += sent;
      } else if (sent === -EAGAIN && !waited) {
        poll(this.arena.base + this.pollfd, 1, SEND_WAIT_MS);
        waited = true;
      } else if (sent === -EAGAIN) {
        counters[COUNTER.tx_drop_socket_full] += count - next;
        return;
      } else if (sent !== -EINTR) {
        // An error with nothing sent is the first message's (net/socket.c, __sys_sendmmsg); the others still have
        // their chance.
        counters[this.dropReason(sent)]++;
        next++;
      }
    }
  }

  private dropReason(result: number): number {
    if (isUnreachable(-result)) return COUNTER.tx_drop_unreachable;
    if (result === -ENOBUFS) return COUNTER.tx_drop_socket_full;
    return COUNTER.tx_drop_send_error;
  }
}
