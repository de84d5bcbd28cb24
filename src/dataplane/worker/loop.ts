/**
 * The forwarding loop: everything that happens to a packet happens in one round of it.
 *
 *     overlay.receive → tunnel.encapsulate → underlay.send
 *     underlay.receive → tunnel.decapsulate → overlay.send
 *
 * A round serves each side that has something, up to a batch each, so that neither can starve the other; with nothing
 * left on either side the worker blocks in poll until a packet or control comes.
 */

import { DRAINED, type Port } from '../io/port.js';
import type { Arena } from '../memory/arena.js';
import type { PacketBatch } from '../memory/batch.js';
import { POLLFD_SIZE, POLLIN } from '../sys/constants.js';
import { type Address, poll } from '../sys/ffi.js';
import type { Tunnel } from '../tunnel/tunnel.js';
import type { Doorbell } from './doorbell.js';

const TAP = 0;
const SOCKET = 1;
const DOORBELL = 2;
const POLL_COUNT = 3;

export interface Path {
  overlay: Port;
  underlay: Port;
  tunnel: Tunnel;
  outbound: PacketBatch;
  inbound: PacketBatch;
}

export interface PollDescriptors {
  tapFd: number;
  socketFd: number;
  doorbell: Doorbell;
}

/** A port that cannot be used any more, as when the device was deleted. */
export interface LoopFailure {
  port: 'overlay' | 'underlay';
  errno: number;
}

export class ForwardingLoop {
  private readonly arena: Arena;
  private readonly path: Path;
  private readonly doorbell: Doorbell;
  private readonly pollfds: number;
  private readonly pollAddress: Address;

  constructor(arena: Arena, path: Path, descriptors: PollDescriptors) {
    this.arena = arena;
    this.path = path;
    this.doorbell = descriptors.doorbell;
    this.pollfds = arena.reserve(POLL_COUNT * POLLFD_SIZE);
    this.pollAddress = arena.address(this.pollfds);
    this.watch(TAP, descriptors.tapFd);
    this.watch(SOCKET, descriptors.socketFd);
    this.watch(DOORBELL, descriptors.doorbell.eventFd);
  }

  /**
   * Forwards until the doorbell says stop; calls `onRing` between two rounds whenever control rang.
   *
   * Blocking and being woken costs more than a packet. So after traffic the loop goes on looking for `busyRounds` empty
   * rounds before it blocks; a node without traffic blocks all the time.
   */
  run(busyRounds: number, onRing: () => void): LoopFailure | undefined {
    let idle = 0;
    while (true) {
      if (this.doorbell.answer()) {
        if (this.doorbell.stopped) return undefined;
        onRing();
      }
      const out = this.forwardOut();
      if (out < 0) return { port: 'overlay', errno: -out };
      const back = this.forwardIn();
      if (back < 0) return { port: 'underlay', errno: -back };
      if (this.path.outbound.count > 0 || this.path.inbound.count > 0) {
        idle = 0;
      } else if (out === DRAINED && back === DRAINED && ++idle > busyRounds) {
        poll(this.pollAddress, POLL_COUNT, -1);
        // What woke it is one packet or a ring; if it was a packet the next round finds it and starts anew.
        idle = busyRounds;
      }
    }
  }

  private forwardOut(): number {
    const { overlay, underlay, tunnel, outbound } = this.path;
    const result = overlay.receive(outbound);
    if (outbound.count > 0) {
      tunnel.encapsulate(outbound);
      underlay.send(outbound);
    }
    return result;
  }

  private forwardIn(): number {
    const { overlay, underlay, tunnel, inbound } = this.path;
    const result = underlay.receive(inbound);
    if (inbound.count > 0) {
      tunnel.decapsulate(inbound);
      overlay.send(inbound);
    }
    return result;
  }

  private watch(index: number, fd: number): void {
    const word = (this.pollfds + index * POLLFD_SIZE) >> 2;
    this.arena.words[word] = fd;
    this.arena.words[word + 1] = POLLIN;
  }
}
